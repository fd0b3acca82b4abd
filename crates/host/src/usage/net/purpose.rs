//! The purpose of a network interface for the host.

use std::collections::BTreeSet;
use std::fmt;
use std::mem::discriminant;

use serde::Serialize;

use crate::{Severity, abridge};

/// Number of the main routing table.
const MAIN: u32 = 254;

/// A usage of a device's network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NetworkUsage {
    /// The device's own network interface.
    pub netdev: String,
    /// The interface that has the purpose: `netdev`, or a bond, bridge, VLAN or tunnel over it.
    pub interface: String,
    /// The purpose of `interface`.
    #[serde(flatten)]
    pub purpose: NetworkPurpose,
    /// Number of further usages of this kind on the same interface: routes, peers.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

/// A purpose of a network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum NetworkPurpose {
    /// A default route leads over the interface, in a table that a rule leads to.
    DefaultRoute {
        /// Number of the routing table; 254 is the main table.
        table: u32,
    },
    /// A route over the interface leads to a router, or to a large part of the Internet.
    Route {
        /// The destination, such as `10.0.0.0/8`.
        destination: String,
    },
    /// The interface leads to a directly attached network, on a host without a default route.
    OnlyRoute {
        /// The destination, such as `10.0.3.0/24`.
        destination: String,
    },
    /// The interface is a tunnel.
    Tunnel,
    /// The interface is a port of a bridge or of Open vSwitch that has other ports.
    SwitchPort {
        /// The bridge, or the datapath.
        switch: String,
        /// The other ports.
        ports: Vec<String>,
    },
    /// The interface is a tap (`macvtap`), which programs use without an address of the host.
    Tap,
    /// The interface is in another network namespace.
    Namespace {
        /// Description of the namespace, such as `network namespace blue`.
        namespace: String,
    },
    /// A connection of storage goes over the interface.
    Storage {
        /// Name of the protocol: `NFS`, `iSCSI`, …
        protocol: String,
        /// Address of the server, or of the client.
        peer: String,
    },
    /// An SSH session goes over the interface.
    Ssh {
        /// Address of the client.
        peer: String,
    },
    /// The SSH server listens only at an address of the interface.
    SshServer {
        /// The address.
        address: String,
    },
    /// The interface is the only network link that is up.
    OnlyLink,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl NetworkUsage {
    /// Joins usages of one kind on the same interface into one usage.
    pub(super) fn join(usages: BTreeSet<Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::new();
        for usage in usages {
            match joined.last_mut() {
                Some(last) if last.is_like(&usage) => last.add(usage),
                _ => joined.push(usage),
            }
        }

        joined
    }

    fn is_like(&self, other: &Self) -> bool {
        self.netdev == other.netdev
            && self.interface == other.interface
            && discriminant(&self.purpose) == discriminant(&other.purpose)
            && self.purpose.protocol() == other.purpose.protocol()
    }

    /// Counts a further usage of the same kind. The default route of the main table stands for the
    /// default routes of other tables.
    fn add(&mut self, other: Self) {
        self.more += 1;
        if other.purpose == (NetworkPurpose::DefaultRoute { table: MAIN }) {
            self.purpose = other.purpose;
        }
    }

    /// Returns the severity of this usage.
    pub fn severity(&self) -> Severity {
        match self.purpose {
            NetworkPurpose::OnlyLink => Severity::Informs,
            _ => Severity::Blocks,
        }
    }
}

impl NetworkPurpose {
    /// Returns the protocol of storage; `None` for other purposes.
    fn protocol(&self) -> Option<&str> {
        match self {
            Self::Storage { protocol, .. } => Some(protocol),
            _ => None,
        }
    }
}

impl fmt::Display for NetworkUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            netdev,
            interface,
            purpose,
            more,
        } = self;
        match purpose {
            NetworkPurpose::DefaultRoute { table: MAIN } => {
                write!(f, "the default route over {interface}")?;
            }
            NetworkPurpose::DefaultRoute { table } => {
                write!(f, "the default route of table {table} over {interface}")?;
            }
            NetworkPurpose::Route { destination } | NetworkPurpose::OnlyRoute { destination } => {
                write!(f, "the route to {destination} over {interface}")?;
            }
            NetworkPurpose::Tunnel => write!(f, "the tunnel {interface}")?,
            NetworkPurpose::SwitchPort { switch, ports } => {
                write!(
                    f,
                    "{switch}, which joins {interface} with {}",
                    abridge(ports, ", ")
                )?;
            }
            NetworkPurpose::Tap => write!(f, "the tap {interface}")?,
            NetworkPurpose::Namespace { namespace } => write!(f, "{interface} in {namespace}")?,
            NetworkPurpose::Storage { protocol, peer } => {
                write!(f, "{protocol} with {peer} over {interface}")?;
            }
            NetworkPurpose::Ssh { peer } => {
                write!(f, "the SSH session of {peer} over {interface}")?;
            }
            NetworkPurpose::SshServer { address } => {
                write!(f, "the SSH server's address {address} on {interface}")?;
            }
            NetworkPurpose::OnlyLink => write!(f, "{interface}, the only network link that is up")?,
        }

        if *more > 0 {
            write!(f, " (and {more} more)")?;
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
    use super::super::interface::HOST;
    use super::super::link::Link;
    use super::super::scene::{CARD, OTHER, Scene, link};
    use super::*;
    use crate::Usage;

    #[test]
    fn network_usage_is_one_flat_object_in_json() {
        let usage = Usage::Network(NetworkUsage {
            netdev: "eth0".into(),
            interface: "br0".into(),
            purpose: NetworkPurpose::DefaultRoute { table: 254 },
            more: 0,
        });
        let expected = serde_json::json!({
            "kind": "network",
            "netdev": "eth0",
            "interface": "br0",
            "purpose": "default_route",
            "table": 254,
        });
        assert_eq!(serde_json::to_value(&usage).unwrap(), expected);
        assert_eq!(
            usage.to_string(),
            "the default route over br0, carried by eth0"
        );
    }

    #[test]
    fn routes_of_one_interface_are_one_usage_with_a_count() {
        let mut scene = Scene::new();
        for table in [100, 254, 300, 400] {
            scene.snapshots[HOST].tables.insert(table);
            scene = scene.default_over(CARD, table);
        }

        for network in 0..50 {
            scene = scene.route(CARD, &format!("10.{network}.0.0"), 16, 254);
            scene.snapshots[HOST].routes.last_mut().unwrap().has_gateway = true;
        }

        let expected = [
            "the default route over eth0 (and 3 more)",
            "the route to 10.0.0.0/16 over eth0 (and 49 more)",
        ];

        assert_eq!(scene.usages(), expected);
    }

    #[test]
    fn tunnels_of_programs_are_one_blind_spot() {
        let mut scene = Scene::new()
            .route(CARD, "10.0.3.0", 24, 254)
            .default_over(OTHER, 254);
        for index in 10..22 {
            let tun = Link {
                kind: "tun".into(),
                ..link(index, &format!("tun{index}"))
            };
            scene = scene.add(tun).default_over(index, 254);
        }

        let blind_spots = scene.blind_spots();
        assert_eq!(blind_spots.len(), 1, "{blind_spots:?}");
        assert!(
            blind_spots[0].contains("(tun10, tun11, "),
            "{blind_spots:?}"
        );
        assert!(
            blind_spots[0].ends_with("tun17 and 4 more: a program carries its packets)"),
            "{blind_spots:?}"
        );
    }

    #[test]
    fn storage_of_two_protocols_is_two_usages() {
        let mut scene = Scene::new().default_over(OTHER, 254);
        for (peer, port) in [("10.0.3.1", 2049), ("10.0.3.2", 2049), ("10.0.3.3", 3260)] {
            scene = scene
                .answer(peer, CARD)
                .connection("10.0.3.15:50000", &format!("{peer}:{port}"));
        }

        let expected = [
            "NFS with 10.0.3.1 over eth0 (and 1 more)",
            "iSCSI with 10.0.3.3 over eth0",
        ];
        assert_eq!(scene.usages(), expected);
    }
}
