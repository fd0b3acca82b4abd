//! The rules by which the host needs an interface. docs/uses.md has them as a table.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::connection::Connection;
use super::flow::{Flow, is_ssh};
use super::interface::{HOST, Interface, RouteAnswers};
use super::link::Link;
use super::purpose::NetworkPurpose;
use super::route::Route;
use super::snapshot::NetworkSnapshot;
use super::stack::InterfaceStack;
use crate::abridge;
use crate::usage::blind_spot::BlindSpot;

/// An interface that the host needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NeededInterface {
    pub(super) interface: Interface,
    pub(super) purpose: NetworkPurpose,
}

/// The rules, over the facts that they look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) snapshots: &'a [NetworkSnapshot],
    pub(super) stack: &'a InterfaceStack,
    pub(super) answers: &'a RouteAnswers,
    pub(super) flows: &'a [Flow],
    pub(super) ssh_sockets: &'a BTreeSet<u32>,
}

impl NeededInterface {
    /// Describes an interface of the host's own namespace.
    fn on_host(index: u32, purpose: NetworkPurpose) -> Self {
        Self {
            interface: Interface::new(HOST, index),
            purpose,
        }
    }
}

impl Rules<'_> {
    /// Applies all rules, and returns the interfaces that the host needs.
    pub(super) fn needed_interfaces(&self) -> Vec<NeededInterface> {
        let mut needed = Vec::new();
        if let Some(host) = self.snapshots.first() {
            needed.extend(routed_interfaces(host));
            needed.extend(self.only_routes(host));
            for link in host.links.values() {
                needed.extend(link_purposes(host, link));
            }
            needed.extend(only_link(host));
        }

        for (namespace, snapshot) in self.snapshots.iter().enumerate().skip(1) {
            needed.extend(namespace_interfaces(namespace, snapshot));
        }
        for flow in self.flows {
            needed.extend(self.flow_interfaces(flow));
        }
        for (namespace, snapshot) in self.snapshots.iter().enumerate() {
            needed.extend(self.ssh_servers(namespace, snapshot));
        }
        needed
    }

    /// Lists the tunnels with host traffic whose carriers are unknown: tunnels of programs, and
    /// tunnels whose remote end each packet brings.
    pub(super) fn unknown_carriers(&self) -> Vec<BlindSpot> {
        let Some(host) = self.snapshots.first() else {
            return Vec::new();
        };
        let mut routed = BTreeSet::new();
        for route in wide_or_routed(host) {
            routed.extend(route.interfaces.iter().copied());
        }
        let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for link in host.links.values() {
            let reason = if link.tunnel.is_external && link.is_up {
                "each packet brings its remote end"
            } else if routed.contains(&link.index) && is_driven_by_program(host, link) {
                "a program carries its packets"
            } else {
                continue;
            };
            names.entry(reason).or_default().push(&link.name);
        }

        names
            .into_iter()
            .map(|(reason, names)| BlindSpot::tunnel(abridge(&names, ", "), reason))
            .collect()
    }

    /// Returns the interfaces of the host that routes lead over, with their carriers.
    pub(super) fn routed(&self) -> BTreeSet<Interface> {
        let Some(host) = self.snapshots.first() else {
            return BTreeSet::new();
        };
        let mut routed = BTreeSet::new();
        for route in host.routes.iter().filter(|route| !route.is_link_local()) {
            for index in &route.interfaces {
                routed.extend(self.stack.carriers(Interface::new(HOST, *index)));
            }
        }

        routed
    }

    /// Returns the interfaces of directly attached networks, on a host without a default route.
    ///
    /// Each such network may be the administrator's. A network that another card leads to as well
    /// does not count.
    fn only_routes(&self, host: &NetworkSnapshot) -> Vec<NeededInterface> {
        if live_routes(host).any(|route| route.is_wide() && self.leaves_host(host, route)) {
            return Vec::new();
        }
        let mut needed = Vec::new();
        for route in live_routes(host) {
            if route.has_gateway || route.is_wide() || route.is_link_local() {
                continue;
            }
            for index in &route.interfaces {
                if !self.has_other_card(host, route, *index) {
                    let destination = route.destination();
                    let purpose = NetworkPurpose::OnlyRoute { destination };
                    needed.push(NeededInterface::on_host(*index, purpose));
                }
            }
        }

        needed
    }

    /// Returns whether another card than that of interface `index` leads to a route's destination.
    fn has_other_card(&self, host: &NetworkSnapshot, route: &Route, index: u32) -> bool {
        let own = self.stack.carriers(Interface::new(HOST, index));
        live_routes(host)
            .filter(|other| other.destination() == route.destination())
            .flat_map(|other| &other.interfaces)
            .any(|other| {
                let carriers = self.stack.carriers(Interface::new(HOST, *other));
                carriers.is_disjoint(&own)
            })
    }

    /// Returns whether a route leads out of this host, over a card.
    fn leaves_host(&self, host: &NetworkSnapshot, route: &Route) -> bool {
        let mut carriers = route
            .interfaces
            .iter()
            .flat_map(|index| self.stack.carriers(Interface::new(HOST, *index)));
        carriers.any(|carrier| {
            let link = host.links.get(&carrier.index);
            carrier.namespace == HOST && link.is_some_and(|link| link.parent.is_some())
        })
    }

    /// Returns the interfaces of a flow: that of its route, and that with its own address.
    fn flow_interfaces(&self, flow: &Flow) -> Vec<NeededInterface> {
        let mut interfaces = BTreeSet::new();
        for (namespace, lookup) in flow.lookups() {
            if let Some(Some(index)) = self.answers.get(&(namespace, lookup)) {
                interfaces.insert(Interface::new(namespace, *index));
            }
        }

        let own = self.snapshots.get(flow.namespace);
        if let Some(source) = flow.lookup.source
            && let Some(own) = own
        {
            for index in own.interfaces_with(source) {
                interfaces.insert(Interface::new(flow.namespace, index));
            }
        }

        interfaces
            .into_iter()
            .map(|interface| NeededInterface {
                interface,
                purpose: flow.purpose.clone(),
            })
            .collect()
    }

    /// Returns the interfaces with an address at which, and at no other, an SSH server listens.
    fn ssh_servers(&self, namespace: usize, snapshot: &NetworkSnapshot) -> Vec<NeededInterface> {
        let mut needed = Vec::new();
        for socket in &snapshot.connections {
            if !self.is_bound_ssh_server(socket) {
                continue;
            }
            let address = socket.local.ip();
            for index in snapshot.interfaces_with(address) {
                needed.push(NeededInterface {
                    interface: Interface::new(namespace, index),
                    purpose: NetworkPurpose::SshServer {
                        address: address.to_string(),
                    },
                });
            }
        }

        needed
    }

    fn is_bound_ssh_server(&self, socket: &Connection) -> bool {
        let address = socket.local.ip();
        let is_bound = !address.is_unspecified() && !address.is_loopback();
        socket.remote.is_none() && is_bound && is_ssh(socket, self.ssh_sockets)
    }
}

/// Returns the routes of tables that a rule leads to.
fn live_routes(host: &NetworkSnapshot) -> impl Iterator<Item = &Route> {
    host.routes
        .iter()
        .filter(|route| host.tables.contains(&route.table))
}

/// Returns the routes that lead to a router, or to a large part of the Internet.
fn wide_or_routed(host: &NetworkSnapshot) -> impl Iterator<Item = &Route> {
    live_routes(host).filter(|route| route.is_wide() || route.has_gateway)
}

fn routed_interfaces(host: &NetworkSnapshot) -> Vec<NeededInterface> {
    let mut needed = Vec::new();
    for route in wide_or_routed(host) {
        let purpose = match route.length {
            0 => NetworkPurpose::DefaultRoute { table: route.table },
            _ => NetworkPurpose::Route {
                destination: route.destination(),
            },
        };
        for index in &route.interfaces {
            needed.push(NeededInterface::on_host(*index, purpose.clone()));
        }
    }

    needed
}

/// Returns the purposes that a link of the host has by itself.
fn link_purposes(host: &NetworkSnapshot, link: &Link) -> Vec<NeededInterface> {
    let mut purposes = Vec::new();
    if link.is_tunnel() && link.is_up {
        purposes.push(NetworkPurpose::Tunnel);
    }
    if link.kind == "macvtap" && link.is_up {
        purposes.push(NetworkPurpose::Tap);
    }
    purposes.extend(switch_port(host, link));
    purposes
        .into_iter()
        .map(|purpose| NeededInterface::on_host(link.index, purpose))
        .collect()
}

/// Returns the purpose of a port of a switch that has other ports.
fn switch_port(host: &NetworkSnapshot, link: &Link) -> Option<NetworkPurpose> {
    let switch = host.links.get(&link.master?)?;
    if !switch.is_switch() {
        return None;
    }
    let ports: Vec<String> = host
        .links
        .values()
        .filter(|other| other.master == link.master && other.index != link.index)
        .map(|other| other.name.clone())
        .collect();
    (!ports.is_empty()).then(|| NetworkPurpose::SwitchPort {
        switch: switch.name.clone(),
        ports,
    })
}

/// Returns the interfaces in a namespace other than the host's: that namespace uses them.
///
/// Interfaces that are made of others (veth, bridges, bonds) do not count: the card below them
/// counts by itself.
fn namespace_interfaces(namespace: usize, snapshot: &NetworkSnapshot) -> Vec<NeededInterface> {
    const MADE_OF_OTHERS: [&str; 7] = [
        "veth",
        "bridge",
        "openvswitch",
        "bond",
        "team",
        "vrf",
        "dummy",
    ];
    let mut needed = Vec::new();
    for link in snapshot.links.values() {
        if link.is_loopback || MADE_OF_OTHERS.contains(&link.kind.as_str()) {
            continue;
        }
        needed.push(NeededInterface {
            interface: Interface::new(namespace, link.index),
            purpose: NetworkPurpose::Namespace {
                namespace: snapshot.name.clone(),
            },
        });
    }

    needed
}

/// Returns the only card that is up, if there is exactly one.
fn only_link(host: &NetworkSnapshot) -> Option<NeededInterface> {
    let mut running = host
        .links
        .values()
        .filter(|link| link.parent.is_some() && link.is_running);
    let only = running.next()?;
    if running.next().is_some() {
        return None;
    }
    let purpose = NetworkPurpose::OnlyLink;
    Some(NeededInterface::on_host(only.index, purpose))
}

/// Returns whether a program carries the packets of an interface: a tun, or PPP other than PPPoE.
fn is_driven_by_program(host: &NetworkSnapshot, link: &Link) -> bool {
    match link.kind.as_str() {
        "tun" => link.master.is_none(),
        "ppp" => host.pppoe.is_empty(),
        _ => false,
    }
}
