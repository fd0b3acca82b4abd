//! What a network interface does for the host.

use std::fmt;

use serde::Serialize;

use crate::Severity;

/// A use of a device's network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NetworkUse {
    /// The device's own network interface.
    pub netdev: String,
    /// The interface that has the purpose: the same, or a bond, bridge, VLAN or tunnel over it.
    pub interface: String,
    /// What it does for the host.
    #[serde(flatten)]
    pub purpose: NetworkPurpose,
}

/// A purpose of a network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum NetworkPurpose {
    /// A default route leads over it, in a table that rules lead to.
    DefaultRoute {
        /// Number of the routing table; 254 is the main one.
        table: u32,
    },
    /// A route leads over it to a router, or to a large part of the Internet.
    Route {
        /// The destination, such as `10.0.0.0/8`.
        destination: String,
    },
    /// It leads to a network of its own, on a host without a default route.
    OnlyRoute {
        /// The destination, such as `10.0.3.0/24`.
        destination: String,
    },
    /// It is a tunnel.
    Tunnel,
    /// It is a port of a bridge or of Open vSwitch, beside others.
    SwitchPort {
        /// The bridge, or the datapath.
        switch: String,
        /// The other ports.
        ports: Vec<String>,
    },
    /// It is a tap that other programs use without an address of the host (`macvtap`).
    Tap,
    /// It is in another network namespace.
    Namespace {
        /// Words for the namespace, such as `network namespace blue`.
        namespace: String,
    },
    /// Storage is at the other end.
    Storage {
        /// `NFS`, `iSCSI`, …
        protocol: String,
        /// Address of the server, or of the client.
        peer: String,
    },
    /// An SSH session comes over it.
    Ssh {
        /// Address of the client.
        peer: String,
    },
    /// The SSH server listens at one of its addresses alone.
    SshServer {
        /// The address.
        address: String,
    },
    /// It is the only network link that is up.
    OnlyLink,
}

impl NetworkUse {
    /// Returns how much this use matters.
    pub fn severity(&self) -> Severity {
        match self.purpose {
            NetworkPurpose::OnlyLink => Severity::Informs,
            _ => Severity::Blocks,
        }
    }
}

impl fmt::Display for NetworkUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAIN: u32 = 254;
        let Self { netdev, interface, purpose } = self;
        match purpose {
            NetworkPurpose::DefaultRoute { table: MAIN } => {
                write!(f, "the default route over {interface}")?;
            }
            NetworkPurpose::DefaultRoute { table } => {
                write!(f, "the default route of table {table} over {interface}")?;
            }
            NetworkPurpose::Route { destination } => {
                write!(f, "the route to {destination} over {interface}")?;
            }
            NetworkPurpose::OnlyRoute { destination } => {
                write!(f, "the route to {destination} over {interface}")?;
            }
            NetworkPurpose::Tunnel => write!(f, "the tunnel {interface}")?,
            NetworkPurpose::SwitchPort { switch, ports } => {
                write!(f, "{switch}, which joins {interface} with {}", ports.join(", "))?;
            }
            NetworkPurpose::Tap => write!(f, "the tap {interface}")?,
            NetworkPurpose::Namespace { namespace } => write!(f, "{interface} in {namespace}")?,
            NetworkPurpose::Storage { protocol, peer } => {
                write!(f, "{protocol} with {peer} over {interface}")?;
            }
            NetworkPurpose::Ssh { peer } => write!(f, "the SSH session of {peer} over {interface}")?,
            NetworkPurpose::SshServer { address } => {
                write!(f, "the SSH server's address {address} on {interface}")?;
            }
            NetworkPurpose::OnlyLink => write!(f, "{interface}, the only network link that is up")?,
        }
        if netdev != interface {
            write!(f, ", carried by {netdev}")?;
        }
        if matches!(purpose, NetworkPurpose::OnlyRoute { .. }) {
            f.write_str(", on a host without a default route")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Use;

    #[test]
    fn network_use_is_one_flat_object_in_json() {
        let used = Use::Network(NetworkUse {
            netdev: "eth0".into(),
            interface: "br0".into(),
            purpose: NetworkPurpose::DefaultRoute { table: 254 },
        });
        let expected = serde_json::json!({
            "kind": "network",
            "netdev": "eth0",
            "interface": "br0",
            "purpose": "default_route",
            "table": 254,
        });
        assert_eq!(serde_json::to_value(&used).unwrap(), expected);
        assert_eq!(used.to_string(), "the default route over br0, carried by eth0");
    }
}
