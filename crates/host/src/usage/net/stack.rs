//! What carries an interface: the interfaces below it, down to the cards, in all namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::link::Link;
use super::route::RouteLookup;
use super::rules::HOST;
use super::snapshot::NetworkSnapshot;

/// An interface: place of its namespace in the list, and its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interface {
    pub(super) namespace: usize,
    pub(super) index: u32,
}

/// The kernel's answers to questions for the way, by namespace and question.
pub(super) type RouteAnswers = BTreeMap<(usize, RouteLookup), Option<u32>>;

/// Which interfaces carry which.
#[derive(Clone, Debug, Default)]
pub(super) struct InterfaceStack {
    below: BTreeMap<Interface, BTreeSet<Interface>>,
}

impl Interface {
    pub(super) fn new(namespace: usize, index: u32) -> Self {
        Self { namespace, index }
    }
}

impl InterfaceStack {
    pub(super) fn new(snapshots: &[NetworkSnapshot], ways: &RouteAnswers) -> Self {
        let mut stack = Self::default();
        for (namespace, snapshot) in snapshots.iter().enumerate() {
            for link in snapshot.links.values() {
                stack.add_masters(namespace, snapshot, link);
                stack.add_lower(namespace, snapshots, link);
                stack.add_outer(namespace, snapshots, link, ways);
            }
        }
        stack
    }

    /// Returns the interface itself and all that carry it, at any depth.
    pub(super) fn carriers(&self, top: Interface) -> BTreeSet<Interface> {
        let mut carriers = BTreeSet::new();
        let mut todo = vec![top];
        while let Some(interface) = todo.pop() {
            if carriers.insert(interface) {
                todo.extend(self.below.get(&interface).into_iter().flatten());
            }
        }
        carriers
    }

    fn add(&mut self, above: Interface, below: Interface) {
        self.below.entry(above).or_default().insert(below);
    }

    /// A bond, bridge, team or VRF goes over its ports. All interfaces of Open vSwitch go over all
    /// ports: the kernel has one datapath for all of its bridges.
    fn add_masters(&mut self, namespace: usize, snapshot: &NetworkSnapshot, link: &Link) {
        let port = Interface::new(namespace, link.index);
        let Some(master) = link.master else { return };
        self.add(Interface::new(namespace, master), port);
        if snapshot
            .links
            .get(&master)
            .is_some_and(|master| master.kind == "openvswitch")
        {
            for internal in snapshot
                .links
                .values()
                .filter(|link| link.kind == "openvswitch")
            {
                self.add(Interface::new(namespace, internal.index), port);
            }
        }
    }

    /// A VLAN, macvlan and the like go over one interface; a veth over its peer, and over the
    /// switch that the peer is a port of.
    fn add_lower(&mut self, namespace: usize, snapshots: &[NetworkSnapshot], link: &Link) {
        let above = Interface::new(namespace, link.index);
        let Some(index) = link.below else { return };
        let Some(other) = other_namespace(namespace, snapshots, link) else {
            return;
        };
        self.add(above, Interface::new(other, index));
        let lower = snapshots[other]
            .links
            .get(&index)
            .filter(|_| link.kind == "veth");
        if let Some(switch) = lower.and_then(|lower| lower.master) {
            self.add(above, Interface::new(other, switch));
        }
    }

    /// A tunnel goes over the interfaces that its outer packets take.
    fn add_outer(
        &mut self,
        namespace: usize,
        snapshots: &[NetworkSnapshot],
        link: &Link,
        ways: &RouteAnswers,
    ) {
        let above = Interface::new(namespace, link.index);
        for other in outer_namespaces(namespace, snapshots, link) {
            let outside = &snapshots[other];
            let local = link
                .tunnel
                .local
                .into_iter()
                .flat_map(|local| outside.interfaces_with(local));
            let answers = tunnel_lookups(&snapshots[namespace], link).into_iter();
            let answers =
                answers.filter_map(|lookup| ways.get(&(other, lookup)).copied().flatten());
            for index in link.tunnel.link.into_iter().chain(local).chain(answers) {
                self.add(above, Interface::new(other, index));
            }
        }
        if link.kind == "ppp" {
            let own = &snapshots[namespace];
            for device in own
                .links
                .values()
                .filter(|device| own.pppoe.contains(&device.name))
            {
                self.add(above, Interface::new(namespace, device.index));
            }
        }
    }
}

/// Returns the namespace of an interface's lower side; `None` if it cannot be seen.
fn other_namespace(own: usize, snapshots: &[NetworkSnapshot], link: &Link) -> Option<usize> {
    match link.below_namespace {
        Some(number) => snapshots[own].neighbours.get(&number).copied(),
        None => Some(own),
    }
}

/// Returns the namespaces that a tunnel's outer packets may be in. WireGuard keeps to the one that
/// it was made in and does not name it; that is the host's, as a rule.
pub(super) fn outer_namespaces(
    own: usize,
    snapshots: &[NetworkSnapshot],
    link: &Link,
) -> Vec<usize> {
    let mut namespaces: Vec<usize> = other_namespace(own, snapshots, link).into_iter().collect();
    if link.is_tunnel() && link.below_namespace.is_none() && own != HOST {
        namespaces.push(HOST);
    }
    namespaces
}

/// Returns the questions for the way of a tunnel's outer packets.
pub(super) fn tunnel_lookups(snapshot: &NetworkSnapshot, link: &Link) -> Vec<RouteLookup> {
    let forwarding = snapshot
        .forwarding
        .iter()
        .filter(|(index, _)| *index == link.index);
    let mut remotes: BTreeSet<IpAddr> = forwarding.map(|(_, remote)| *remote).collect();
    remotes.extend(link.tunnel.remote);
    let peers = snapshot.wireguard.get(&link.index);
    remotes.extend(peers.iter().flat_map(|peers| &peers.remotes));
    let lookup = |destination| RouteLookup {
        destination,
        source: link
            .tunnel
            .local
            .filter(|local| local.is_ipv4() == destination.is_ipv4()),
        mark: peers.map_or(0, |peers| peers.mark),
        interface: link.tunnel.link,
    };
    remotes.into_iter().map(lookup).collect()
}

#[cfg(test)]
mod tests {
    use super::super::link::Tunnel;
    use super::super::scene::{CARD, OTHER, Scene, address, link};
    use super::super::wireguard::WireGuardPeers;
    use super::*;

    #[test]
    fn default_route_is_followed_through_vlan_bond_and_bridge() {
        let mut scene = Scene::new();
        scene.link(CARD).master = Some(10);
        let scene = scene.add(Link {
            kind: "bond".into(),
            ..link(10, "bond0")
        });
        let scene = scene.add(Link {
            kind: "vlan".into(),
            below: Some(10),
            ..link(11, "vlan7")
        });
        let mut scene = scene.add(Link {
            kind: "bridge".into(),
            ..link(12, "br0")
        });
        scene.link(11).master = Some(12);
        let scene = scene.default_over(12, 254);
        assert_eq!(
            scene.usages(),
            ["the default route over br0, carried by eth0"]
        );
    }

    #[test]
    fn internal_port_of_open_vswitch_goes_over_its_ports() {
        let mut scene = Scene::new();
        scene.link(CARD).master = Some(10);
        let scene = scene.add(Link {
            kind: "openvswitch".into(),
            ..link(10, "ovs-system")
        });
        let scene = scene.add(Link {
            kind: "openvswitch".into(),
            ..link(11, "br-ex")
        });
        let usages = scene.default_over(11, 254).usages();
        assert_eq!(usages, ["the default route over br-ex, carried by eth0"]);
    }

    #[test]
    fn tunnel_is_carried_by_the_way_to_its_remote_end() {
        let remote = Some(address("10.0.3.100"));
        let tunnel = Tunnel {
            remote,
            ..Tunnel::default()
        };
        let vxlan = Link {
            kind: "vxlan".into(),
            tunnel,
            ..link(10, "vxlan0")
        };
        let scene = Scene::new().add(vxlan).default_over(10, 254);
        assert_eq!(scene.usages(), [""; 0]);
        let usages = scene.way("10.0.3.100", CARD).usages();
        let expected = [
            "the default route over vxlan0, carried by eth0",
            "the tunnel vxlan0, carried by eth0",
        ];
        assert_eq!(usages, expected);
    }

    #[test]
    fn vxlan_is_carried_by_the_ways_of_its_forwarding_table() {
        let mut scene = Scene::new().add(Link {
            kind: "vxlan".into(),
            ..link(10, "flannel.1")
        });
        scene.snapshots[HOST].forwarding = vec![(10, address("10.0.3.100"))];
        let usages = scene.way("10.0.3.100", CARD).usages();
        assert_eq!(usages, ["the tunnel flannel.1, carried by eth0"]);
    }

    #[test]
    fn pppoe_is_carried_by_the_interface_of_its_session() {
        let mut scene = Scene::new().add(Link {
            kind: "ppp".into(),
            ..link(10, "ppp0")
        });
        scene.snapshots[HOST].pppoe = vec!["eth0".into()];
        let scene = scene.default_over(10, 254);
        assert_eq!(
            scene.usages(),
            ["the default route over ppp0, carried by eth0"]
        );
        assert_eq!(scene.blind_spots(), [""; 0]);
    }

    #[test]
    fn wireguard_of_another_namespace_is_carried_by_the_host() {
        let mut scene = Scene::new()
            .default_over(OTHER, 254)
            .namespace("network namespace blue");
        let wireguard = Link {
            kind: "wireguard".into(),
            ..link(9, "wg0")
        };
        scene.snapshots[1].links.insert(9, wireguard);
        let remotes = vec![address("10.0.3.100")];
        scene.snapshots[1]
            .wireguard
            .insert(9, WireGuardPeers { mark: 0, remotes });
        assert_eq!(scene.usages(), [""; 0]);
        let usages = scene.way("10.0.3.100", CARD).usages();
        assert_eq!(usages, ["wg0 in network namespace blue, carried by eth0"]);
    }
}
