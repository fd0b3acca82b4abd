//! What a network interface does for the host.

use std::collections::BTreeSet;
use std::fmt;
use std::mem::discriminant;

use serde::Serialize;

use crate::{Severity, abridge};

/// DeviceNumber of the main routing table.
const MAIN: u32 = 254;

/// A use of a device's network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NetworkUsage {
    /// The device's own network interface.
    pub netdev: String,
    /// The interface that has the purpose: the same, or a bond, bridge, VLAN or tunnel over it.
    pub interface: String,
    /// What it does for the host.
    #[serde(flatten)]
    pub purpose: NetworkPurpose,
    /// DeviceNumber of other uses of this kind that the same interface has: routes, peers.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A purpose of a network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum NetworkPurpose {
    /// A default route leads over it, in a table that rules lead to.
    DefaultRoute {
        /// DeviceNumber of the routing table; 254 is the main one.
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

impl NetworkUsage {
    /// Joins the uses of one kind that the same interface has into one.
    pub(super) fn join(usages: BTreeSet<Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::new();
        for usage in usages {
            match joined.last_mut().filter(|last| last.is_like(&usage)) {
                Some(last) => last.add(usage),
                None => joined.push(usage),
            }
        }
        joined
    }

    fn is_like(&self, other: &Self) -> bool {
        let kind = |usage: &Self| match &usage.purpose {
            NetworkPurpose::Storage { protocol, .. } => Some(protocol.clone()),
            _ => None,
        };
        (
            &self.netdev,
            &self.interface,
            discriminant(&self.purpose),
            kind(self),
        ) == (
            &other.netdev,
            &other.interface,
            discriminant(&other.purpose),
            kind(other),
        )
    }

    /// Counts another use of the same kind. The main table's default route stands for all.
    fn add(&mut self, other: Self) {
        self.more += 1;
        if other.purpose == (NetworkPurpose::DefaultRoute { table: MAIN }) {
            self.purpose = other.purpose;
        }
    }

    /// Returns how much this use matters.
    pub fn severity(&self) -> Severity {
        match self.purpose {
            NetworkPurpose::OnlyLink => Severity::Informs,
            _ => Severity::Blocks,
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
            NetworkPurpose::Route { destination } => {
                write!(f, "the route to {destination} over {interface}")?;
            }
            NetworkPurpose::OnlyRoute { destination } => {
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
    use super::super::link::Link;
    use super::super::rules::HOST;
    use super::super::scene::{CARD, OTHER, Scene, link};
    use super::*;
    use crate::Usage;

    #[test]
    fn network_use_is_one_flat_object_in_json() {
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
    fn routes_of_one_interface_are_one_use_with_their_number() {
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
    fn tunnels_of_programs_are_one_unseen_part() {
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
    fn storage_of_two_protocols_is_two_uses() {
        let mut scene = Scene::new().default_over(OTHER, 254);
        for (peer, port) in [("10.0.3.1", 2049), ("10.0.3.2", 2049), ("10.0.3.3", 3260)] {
            scene = scene
                .way(peer, CARD)
                .connection("10.0.3.15:50000", &format!("{peer}:{port}"));
        }
        let expected = [
            "NFS with 10.0.3.1 over eth0 (and 1 more)",
            "iSCSI with 10.0.3.3 over eth0",
        ];
        assert_eq!(scene.usages(), expected);
    }
}
