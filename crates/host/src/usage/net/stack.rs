//! The stack of interfaces: the carriers of an interface, down to the cards, in all namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::interface::{HOST, Interface, RouteAnswers};
use super::link::Link;
use super::route::RouteLookup;
use super::snapshot::NetworkSnapshot;

/// The interfaces directly below each interface.
#[derive(Clone, Debug, Default)]
pub(super) struct InterfaceStack {
    below: BTreeMap<Interface, BTreeSet<Interface>>,
}

impl InterfaceStack {
    pub(super) fn new(snapshots: &[NetworkSnapshot], answers: &RouteAnswers) -> Self {
        let mut stack = Self::default();
        for (namespace, snapshot) in snapshots.iter().enumerate() {
            for link in snapshot.links.values() {
                stack.add_port(namespace, snapshot, link);
                stack.add_lower(namespace, snapshots, link);
                stack.add_outer(namespace, snapshots, link, answers);
                stack.add_pppoe(namespace, snapshot, link);
            }
        }

        stack
    }

    /// Returns an interface and all interfaces that carry it, at any depth.
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

    /// Adds a port of a bond, bridge, team, VRF or Open vSwitch as a carrier of its master.
    ///
    /// All interfaces of Open vSwitch are carried by all of its ports: the kernel has one datapath
    /// for all bridges.
    fn add_port(&mut self, namespace: usize, snapshot: &NetworkSnapshot, link: &Link) {
        let port = Interface::new(namespace, link.index);
        let Some(master) = link.master else { return };
        self.add(Interface::new(namespace, master), port);
        let kind = snapshot.links.get(&master).map(|master| &*master.kind);
        if kind != Some("openvswitch") {
            return;
        }
        for internal in snapshot.links.values() {
            if internal.kind == "openvswitch" {
                self.add(Interface::new(namespace, internal.index), port);
            }
        }
    }

    /// Adds the interface below a VLAN, macvlan and the like. A veth is carried by its peer, and by
    /// the switch that the peer is a port of.
    fn add_lower(&mut self, namespace: usize, snapshots: &[NetworkSnapshot], link: &Link) {
        let above = Interface::new(namespace, link.index);
        let Some(index) = link.below else { return };
        let Some(other) = lower_namespace(namespace, snapshots, link) else {
            return;
        };
        self.add(above, Interface::new(other, index));
        if link.kind != "veth" {
            return;
        }
        let peer = snapshots[other].links.get(&index);
        if let Some(switch) = peer.and_then(|peer| peer.master) {
            self.add(above, Interface::new(other, switch));
        }
    }

    /// Adds the interfaces by which the outer packets of a tunnel may leave.
    fn add_outer(
        &mut self,
        namespace: usize,
        snapshots: &[NetworkSnapshot],
        link: &Link,
        answers: &RouteAnswers,
    ) {
        let above = Interface::new(namespace, link.index);
        for other in outer_namespaces(namespace, snapshots, link) {
            let mut indices: Vec<u32> = link.tunnel.link.into_iter().collect();
            if let Some(local) = link.tunnel.local {
                indices.extend(snapshots[other].interfaces_with(local));
            }
            for lookup in tunnel_lookups(&snapshots[namespace], link) {
                let answer = answers.get(&(other, lookup));
                indices.extend(answer.copied().flatten());
            }
            for index in indices {
                self.add(above, Interface::new(other, index));
            }
        }
    }

    /// Adds the interfaces of all PPPoE sessions in the namespace as carriers of a PPP interface.
    fn add_pppoe(&mut self, namespace: usize, snapshot: &NetworkSnapshot, link: &Link) {
        if link.kind != "ppp" {
            return;
        }
        let above = Interface::new(namespace, link.index);
        for device in snapshot.links.values() {
            if snapshot.pppoe.contains(&device.name) {
                self.add(above, Interface::new(namespace, device.index));
            }
        }
    }
}

/// Returns the namespace of the interface below a link; `None` if that namespace is hidden.
fn lower_namespace(own: usize, snapshots: &[NetworkSnapshot], link: &Link) -> Option<usize> {
    match link.below_namespace {
        Some(number) => snapshots[own].neighbours.get(&number).copied(),
        None => Some(own),
    }
}

/// Returns the namespaces that a tunnel's outer packets may be in.
///
/// WireGuard sends from the namespace in which it was created and does not report which one that
/// is. As a rule, that is the host's.
pub(super) fn outer_namespaces(
    own: usize,
    snapshots: &[NetworkSnapshot],
    link: &Link,
) -> Vec<usize> {
    let mut namespaces: Vec<usize> = lower_namespace(own, snapshots, link).into_iter().collect();
    if link.is_tunnel() && link.below_namespace.is_none() && own != HOST {
        namespaces.push(HOST);
    }
    namespaces
}

/// Returns the route lookups of a tunnel's outer packets, one for each remote end.
pub(super) fn tunnel_lookups(snapshot: &NetworkSnapshot, link: &Link) -> Vec<RouteLookup> {
    let peers = snapshot.wireguard.get(&link.index);
    let mut remotes: BTreeSet<IpAddr> = link.tunnel.remote.into_iter().collect();
    remotes.extend(peers.iter().flat_map(|peers| &peers.remotes));
    for (index, remote) in &snapshot.forwarding {
        if *index == link.index {
            remotes.insert(*remote);
        }
    }

    let mut lookups = Vec::new();
    for destination in remotes {
        let local = link.tunnel.local;
        lookups.push(RouteLookup {
            destination,
            source: local.filter(|local| local.is_ipv4() == destination.is_ipv4()),
            mark: peers.map_or(0, |peers| peers.mark),
            interface: link.tunnel.link,
        });
    }

    lookups
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
    fn open_vswitch_internal_port_is_carried_by_ports() {
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
    fn tunnel_is_carried_by_the_route_to_its_remote_end() {
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

        let usages = scene.answer("10.0.3.100", CARD).usages();
        let expected = [
            "the default route over vxlan0, carried by eth0",
            "the tunnel vxlan0, carried by eth0",
        ];
        assert_eq!(usages, expected);
    }

    #[test]
    fn vxlan_is_carried_by_routes_of_its_forwarding_table() {
        let mut scene = Scene::new().add(Link {
            kind: "vxlan".into(),
            ..link(10, "flannel.1")
        });
        scene.snapshots[HOST].forwarding = vec![(10, address("10.0.3.100"))];
        let usages = scene.answer("10.0.3.100", CARD).usages();
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

        let usages = scene.answer("10.0.3.100", CARD).usages();
        assert_eq!(usages, ["wg0 in network namespace blue, carried by eth0"]);
    }
}
