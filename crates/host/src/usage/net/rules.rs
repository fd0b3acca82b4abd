//! The rules: which interfaces the host needs, whatever carries them. docs/uses.md has them as a
//! table.

use std::collections::{BTreeMap, BTreeSet};

use super::flow::{Flow, is_ssh};
use super::link::Link;
use super::network::TUNNELS;
use super::purpose::NetworkPurpose;
use super::route::Route;
use super::snapshot::NetworkSnapshot;
use super::stack::{Interface, InterfaceStack, RouteAnswers};
use crate::abridge;
use crate::usage::report::BlindSpot;

/// The place of the host's own namespace in the list.
pub(super) const HOST: usize = 0;

/// An interface that has a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NeededInterface {
    pub(super) interface: Interface,
    pub(super) purpose: NetworkPurpose,
}

/// What the rules look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) snapshots: &'a [NetworkSnapshot],
    pub(super) stack: &'a InterfaceStack,
    pub(super) ways: &'a RouteAnswers,
    pub(super) flows: &'a [Flow],
    pub(super) ssh_sockets: &'a BTreeSet<u32>,
}

impl Rules<'_> {
    /// Applies all rules.
    pub(super) fn points(&self) -> Vec<NeededInterface> {
        let mut points = Vec::new();
        if let Some(host) = self.snapshots.first() {
            points.extend(routes(host));
            points.extend(self.only_routes(host));
            points.extend(host.links.values().flat_map(|link| links(host, link)));
            points.extend(only_link(host));
        }
        points.extend(
            self.snapshots
                .iter()
                .enumerate()
                .skip(1)
                .flat_map(in_namespace),
        );
        points.extend(self.flows.iter().flat_map(|flow| self.flow(flow)));
        points.extend(
            self.snapshots
                .iter()
                .enumerate()
                .flat_map(|(n, own)| self.servers(n, own)),
        );
        points
    }

    /// Lists what carries host traffic over interfaces that cannot be told: tunnels that programs
    /// keep, and tunnels whose remote end each packet brings.
    pub(super) fn unseen_carriers(&self) -> Vec<BlindSpot> {
        let Some(host) = self.snapshots.first() else {
            return Vec::new();
        };
        let routed: BTreeSet<u32> = wide_or_routed(host)
            .flat_map(|route| route.interfaces.clone())
            .collect();
        let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for link in host.links.values() {
            if link.tunnel.is_external && link.is_up {
                names
                    .entry("each packet brings its remote end")
                    .or_default()
                    .push(&link.name);
            } else if routed.contains(&link.index) && is_kept_by_a_program(host, link) {
                names
                    .entry("a program carries its packets")
                    .or_default()
                    .push(&link.name);
            }
        }
        let blind_spots = names.into_iter();
        blind_spots
            .map(|(why, names)| BlindSpot::new(TUNNELS, abridge(&names, ", "), why))
            .collect()
    }

    /// Returns the interfaces of the host, and what carries them, that routes lead over.
    pub(super) fn routed(&self) -> BTreeSet<Interface> {
        let Some(host) = self.snapshots.first() else {
            return BTreeSet::new();
        };
        let routes = host.routes.iter().filter(|route| !route.is_link_local());
        let tops: BTreeSet<u32> = routes
            .flat_map(|route| route.interfaces.iter().copied())
            .collect();
        tops.into_iter()
            .flat_map(|index| self.stack.carriers(Interface::new(HOST, index)))
            .collect()
    }

    /// On a host without a default route, each network of its own may be the administrator's; but
    /// not if another card leads to the same network.
    fn only_routes(&self, host: &NetworkSnapshot) -> Vec<NeededInterface> {
        if live(host).any(|route| route.is_wide() && self.leaves(host, route)) {
            return Vec::new();
        }
        let mut points = Vec::new();
        let own_networks = live(host).filter(|route| !route.has_gateway && !route.is_wide());
        for route in own_networks.filter(|route| !route.is_link_local()) {
            for index in &route.interfaces {
                let own = self.stack.carriers(Interface::new(HOST, *index));
                let same = live(host).filter(|other| other.destination() == route.destination());
                let others = same.flat_map(|other| &other.interfaces);
                let is_other = |index: &u32| {
                    self.stack
                        .carriers(Interface::new(HOST, *index))
                        .is_disjoint(&own)
                };
                if !others.into_iter().any(is_other) {
                    let destination = route.destination();
                    points.push(point(*index, NetworkPurpose::OnlyRoute { destination }));
                }
            }
        }
        points
    }

    /// Returns whether a route leads out of this host: over a card.
    fn leaves(&self, host: &NetworkSnapshot, route: &Route) -> bool {
        let tops = route
            .interfaces
            .iter()
            .map(|index| Interface::new(HOST, *index));
        let mut carriers = tops.flat_map(|top| self.stack.carriers(top));
        carriers.any(|interface| {
            let link = host
                .links
                .get(&interface.index)
                .filter(|_| interface.namespace == HOST);
            link.is_some_and(|link| link.parent.is_some())
        })
    }

    /// A connection goes over the interface of its route, and over that with its own address.
    fn flow(&self, flow: &Flow) -> Vec<NeededInterface> {
        let mut interfaces = BTreeSet::new();
        for (namespace, lookup) in flow.questions() {
            let way = self.ways.get(&(namespace, lookup)).copied().flatten();
            interfaces.extend(way.map(|index| Interface::new(namespace, index)));
        }
        if let (Some(source), Some(own)) = (flow.lookup.source, self.snapshots.get(flow.network)) {
            let own = own.interfaces_with(source);
            interfaces.extend(own.map(|index| Interface::new(flow.network, index)));
        }
        let purpose = |interface| NeededInterface {
            interface,
            purpose: flow.purpose.clone(),
        };
        interfaces.into_iter().map(purpose).collect()
    }

    /// An SSH server that listens at one address needs the interface that has it.
    fn servers(&self, namespace: usize, own: &NetworkSnapshot) -> Vec<NeededInterface> {
        let listening = own.connections.iter().filter(|socket| {
            let address = socket.local.ip();
            let is_one = !address.is_unspecified() && !address.is_loopback();
            socket.remote.is_none() && is_one && is_ssh(socket, self.ssh_sockets)
        });
        let points = listening.flat_map(|socket| {
            let address = socket.local.ip();
            let purpose = NetworkPurpose::SshServer {
                address: address.to_string(),
            };
            own.interfaces_with(address)
                .map(move |index| NeededInterface {
                    interface: Interface::new(namespace, index),
                    purpose: purpose.clone(),
                })
        });
        points.collect()
    }
}

fn point(index: u32, purpose: NetworkPurpose) -> NeededInterface {
    NeededInterface {
        interface: Interface::new(HOST, index),
        purpose,
    }
}

/// Returns the routes of tables that a rule leads to.
fn live(host: &NetworkSnapshot) -> impl Iterator<Item = &Route> {
    host.routes
        .iter()
        .filter(|route| host.tables.contains(&route.table))
}

/// Returns the routes that lead to a router, or to much of the Internet.
fn wide_or_routed(host: &NetworkSnapshot) -> impl Iterator<Item = &Route> {
    live(host).filter(|route| route.is_wide() || route.has_gateway)
}

fn routes(host: &NetworkSnapshot) -> Vec<NeededInterface> {
    let mut points = Vec::new();
    for route in wide_or_routed(host) {
        let purpose = match route.length {
            0 => NetworkPurpose::DefaultRoute { table: route.table },
            _ => NetworkPurpose::Route {
                destination: route.destination(),
            },
        };
        points.extend(
            route
                .interfaces
                .iter()
                .map(|index| point(*index, purpose.clone())),
        );
    }
    points
}

fn links(host: &NetworkSnapshot, link: &Link) -> Vec<NeededInterface> {
    let mut points = Vec::new();
    if link.is_tunnel() && link.is_up {
        points.push(point(link.index, NetworkPurpose::Tunnel));
    }
    if link.kind == "macvtap" && link.is_up {
        points.push(point(link.index, NetworkPurpose::Tap));
    }
    let switch = link
        .master
        .and_then(|master| host.links.get(&master))
        .filter(|link| link.is_switch());
    if let Some(switch) = switch {
        let ports = host
            .links
            .values()
            .filter(|other| other.master == link.master);
        let others = ports.filter(|other| other.index != link.index);
        let ports: Vec<String> = others.map(|other| other.name.clone()).collect();
        if !ports.is_empty() {
            let purpose = NetworkPurpose::SwitchPort {
                switch: switch.name.clone(),
                ports,
            };
            points.push(point(link.index, purpose));
        }
    }
    points
}

/// An interface that was put into another namespace is in use there. Those that only exist there
/// (veth, bridges, bonds) have a card below that counts by itself.
fn in_namespace((namespace, snapshot): (usize, &NetworkSnapshot)) -> Vec<NeededInterface> {
    const MADE_OF_OTHERS: [&str; 7] = [
        "veth",
        "bridge",
        "openvswitch",
        "bond",
        "team",
        "vrf",
        "dummy",
    ];
    let links = snapshot.links.values().filter(|link| !link.is_loopback);
    let links = links.filter(|link| !MADE_OF_OTHERS.contains(&link.kind.as_str()));
    let purpose = NetworkPurpose::Namespace {
        namespace: snapshot.name.clone(),
    };
    let points = links.map(|link| NeededInterface {
        interface: Interface::new(namespace, link.index),
        purpose: purpose.clone(),
    });
    points.collect()
}

fn only_link(host: &NetworkSnapshot) -> Option<NeededInterface> {
    let mut running = host
        .links
        .values()
        .filter(|link| link.parent.is_some() && link.is_running);
    let only = running.next()?;
    running
        .next()
        .is_none()
        .then(|| point(only.index, NetworkPurpose::OnlyLink))
}

/// Returns whether its packets go through a program: a tun, or PPP over anything but PPPoE.
fn is_kept_by_a_program(host: &NetworkSnapshot, link: &Link) -> bool {
    match link.kind.as_str() {
        "tun" => link.master.is_none(),
        "ppp" => host.pppoe.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::Tunnel;
    use super::super::scene::{CARD, OTHER, Scene, address, link};
    use super::*;

    #[test]
    fn card_with_an_address_and_its_network_is_free() {
        let scene = Scene::new()
            .default_over(OTHER, 254)
            .route(CARD, "10.0.3.0", 24, 254);
        assert_eq!(scene.usages(), [""; 0]);
        assert_eq!(scene.blind_spots(), [""; 0]);
    }

    #[test]
    fn card_of_the_only_route_is_used() {
        let scene = Scene::new()
            .route(CARD, "10.0.3.0", 24, 254)
            .route(CARD, "fe80::", 64, 254);
        let only = "the route to 10.0.3.0/24 over eth0, on a host without a default route";
        assert_eq!(scene.usages(), [only]);
        let scene = scene.route(OTHER, "10.0.3.0", 24, 254);
        assert_eq!(scene.usages(), [""; 0]);
    }

    #[test]
    fn card_with_a_default_route_has_one_use() {
        let mut scene = Scene::new().default_over(CARD, 254);
        scene.snapshots[HOST].routes[0].has_gateway = false;
        scene.link(CARD).parent = None;
        let below = ["the default route over eth0"];
        assert_eq!(scene.uses_below(), below);
    }

    #[test]
    fn default_route_that_leads_nowhere_makes_no_card_free() {
        let scene = Scene::new().add(Link {
            kind: "dummy".into(),
            ..link(9, "dummy0")
        });
        let mut scene = scene.default_over(9, 254).route(CARD, "10.0.3.0", 24, 254);
        scene.snapshots[HOST].routes[0].has_gateway = false;
        let only = "the route to 10.0.3.0/24 over eth0, on a host without a default route";
        assert_eq!(scene.usages(), [only]);
    }

    #[test]
    fn default_route_of_a_table_counts_with_a_rule() {
        let mut scene = Scene::new()
            .default_over(OTHER, 254)
            .default_over(CARD, 100);
        assert_eq!(scene.usages(), [""; 0]);
        scene.snapshots[HOST].tables.insert(100);
        assert_eq!(scene.usages(), ["the default route of table 100 over eth0"]);
    }

    #[test]
    fn parts_of_a_default_route_and_routers_are_used() {
        for (destination, length) in [("0.0.0.0", 1), ("128.0.0.0", 1), ("::", 1), ("2000::", 3)] {
            let scene = Scene::new()
                .default_over(OTHER, 254)
                .route(CARD, destination, length, 254);
            let expected = format!("the route to {destination}/{length} over eth0");
            assert_eq!(scene.usages(), [expected]);
        }
        let mut scene = Scene::new()
            .default_over(OTHER, 254)
            .route(CARD, "10.9.0.0", 16, 254);
        assert_eq!(scene.usages(), [""; 0]);
        scene.snapshots[HOST].routes.last_mut().unwrap().has_gateway = true;
        assert_eq!(scene.usages(), ["the route to 10.9.0.0/16 over eth0"]);
    }

    #[test]
    fn bridge_with_the_tap_of_a_guest_is_used() {
        let mut scene = Scene::new().default_over(OTHER, 254);
        scene.link(CARD).master = Some(10);
        let scene = scene.add(Link {
            kind: "bridge".into(),
            ..link(10, "br0")
        });
        assert_eq!(scene.usages(), [""; 0]);
        let tap = Link {
            kind: "tun".into(),
            master: Some(10),
            ..link(11, "vnet0")
        };
        assert_eq!(
            scene.add(tap).usages(),
            ["br0, which joins eth0 with vnet0"]
        );
    }

    #[test]
    fn tunnel_of_a_program_makes_cards_with_routes_unknown() {
        let scene = Scene::new().add(Link {
            kind: "tun".into(),
            ..link(10, "tun0")
        });
        let mut scene = scene.default_over(10, 254);
        scene.snapshots[HOST].routes[0].has_gateway = false;
        assert_eq!(scene.blind_spots(), [""; 0]);
        let scene = scene
            .route(CARD, "10.0.3.0", 24, 254)
            .default_over(OTHER, 254);
        assert_eq!(scene.usages(), [""; 0]);
        let tun =
            "interfaces that carry tunnels cannot be seen (tun0: a program carries its packets)";
        assert_eq!(scene.blind_spots(), [tun]);
    }

    #[test]
    fn external_tunnel_makes_cards_with_routes_unknown() {
        let tunnel = Tunnel {
            is_external: true,
            ..Tunnel::default()
        };
        let vxlan = Link {
            kind: "vxlan".into(),
            tunnel,
            ..link(10, "vxlan_sys_4789")
        };
        let scene = Scene::new().add(vxlan).default_over(OTHER, 254);
        assert_eq!(scene.blind_spots(), [""; 0]);
        assert_eq!(
            scene.route(CARD, "10.0.3.0", 24, 254).blind_spots().len(),
            1
        );
    }

    #[test]
    fn card_in_another_namespace_is_used_there() {
        let mut scene = Scene::new()
            .default_over(OTHER, 254)
            .namespace("network namespace blue");
        let card = scene.snapshots[HOST].links.remove(&CARD).unwrap();
        scene.snapshots[1].links.insert(CARD, card);
        assert_eq!(scene.usages(), ["eth0 in network namespace blue"]);
    }

    #[test]
    fn macvlan_of_a_container_is_carried_by_its_card() {
        let mut scene = Scene::new()
            .default_over(OTHER, 254)
            .namespace("network namespace blue");
        let below = Some(CARD);
        let macvlan = Link {
            kind: "macvlan".into(),
            below,
            below_namespace: Some(0),
            ..link(9, "mv0")
        };
        scene.snapshots[1].links.insert(9, macvlan);
        scene.snapshots[1].neighbours.insert(0, HOST);
        assert_eq!(
            scene.usages(),
            ["mv0 in network namespace blue, carried by eth0"]
        );
    }

    #[test]
    fn macvtap_that_is_up_is_used() {
        let macvtap = Link {
            kind: "macvtap".into(),
            below: Some(CARD),
            ..link(9, "macvtap0")
        };
        let scene = Scene::new().default_over(OTHER, 254).add(macvtap);
        assert_eq!(scene.usages(), ["the tap macvtap0, carried by eth0"]);
    }

    #[test]
    fn storage_and_ssh_are_found_by_their_ways() {
        let scene = Scene::new()
            .default_over(OTHER, 254)
            .way("10.0.3.100", CARD);
        let nfs = scene.connection("10.0.3.15:50000", "10.0.3.100:2049");
        assert_eq!(nfs.usages(), ["NFS with 10.0.3.100 over eth0"]);
        let scene = Scene::new().default_over(OTHER, 254).way("10.0.3.2", CARD);
        let ssh = scene.connection("10.0.3.15:22", "10.0.3.2:50000");
        assert_eq!(ssh.usages(), ["the SSH session of 10.0.3.2 over eth0"]);
        let scene = Scene::new().default_over(OTHER, 254).way("10.0.3.2", CARD);
        assert_eq!(
            scene.connection("10.0.3.15:40000", "10.0.3.2:443").usages(),
            [""; 0]
        );
    }

    #[test]
    fn ssh_server_on_another_port_is_known_by_its_sockets() {
        let scene = Scene::new().default_over(OTHER, 254).way("10.0.3.2", CARD);
        let mut scene = scene.connection("10.0.3.15:2222", "10.0.3.2:50000");
        assert_eq!(scene.usages(), [""; 0]);
        scene
            .ssh_sockets
            .insert(scene.snapshots[HOST].connections[0].inode);
        assert_eq!(scene.usages(), ["the SSH session of 10.0.3.2 over eth0"]);
    }

    #[test]
    fn ssh_server_bound_to_one_address_needs_its_card() {
        let mut scene = Scene::new()
            .default_over(OTHER, 254)
            .connection("10.0.3.15:22", "1.1.1.1:1");
        scene.snapshots[HOST]
            .addresses
            .push((CARD, address("10.0.3.15")));
        scene.snapshots[HOST].connections[0].remote = None;
        assert_eq!(
            scene.usages(),
            ["the SSH server's address 10.0.3.15 on eth0"]
        );
        scene.snapshots[HOST].connections[0]
            .local
            .set_ip(address("0.0.0.0"));
        assert_eq!(scene.usages(), [""; 0]);
    }

    #[test]
    fn only_link_that_is_up_informs() {
        let mut scene = Scene::new();
        scene.link(CARD).is_running = true;
        assert_eq!(scene.usages(), ["eth0, the only network link that is up"]);
        scene.link(OTHER).is_running = true;
        assert_eq!(scene.usages(), [""; 0]);
    }
}
