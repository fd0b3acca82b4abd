//! What carries an interface: the interfaces below it, down to the cards, in all namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::link::Link;
use super::route::Lookup;
use super::snapshot::Snapshot;

/// An interface: place of its namespace in the list, and its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interface {
    pub(super) namespace: usize,
    pub(super) index: u32,
}

/// The kernel's answers to questions for the way, by namespace and question.
pub(super) type Ways = BTreeMap<(usize, Lookup), Option<u32>>;

/// Which interfaces carry which.
#[derive(Clone, Debug, Default)]
pub(super) struct Stack {
    below: BTreeMap<Interface, BTreeSet<Interface>>,
}

impl Interface {
    pub(super) fn new(namespace: usize, index: u32) -> Self {
        Self { namespace, index }
    }
}

impl Stack {
    pub(super) fn new(snapshots: &[Snapshot], ways: &Ways) -> Self {
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
    fn add_masters(&mut self, namespace: usize, snapshot: &Snapshot, link: &Link) {
        let port = Interface::new(namespace, link.index);
        let Some(master) = link.master else { return };
        self.add(Interface::new(namespace, master), port);
        if snapshot.links.get(&master).is_some_and(|master| master.kind == "openvswitch") {
            for internal in snapshot.links.values().filter(|link| link.kind == "openvswitch") {
                self.add(Interface::new(namespace, internal.index), port);
            }
        }
    }

    /// A VLAN, macvlan and the like go over one interface; a veth over its peer, and over the
    /// switch that the peer is a port of.
    fn add_lower(&mut self, namespace: usize, snapshots: &[Snapshot], link: &Link) {
        let above = Interface::new(namespace, link.index);
        let Some(index) = link.below else { return };
        let Some(other) = other_namespace(namespace, snapshots, link) else { return };
        self.add(above, Interface::new(other, index));
        let lower = snapshots[other].links.get(&index).filter(|_| link.kind == "veth");
        if let Some(switch) = lower.and_then(|lower| lower.master) {
            self.add(above, Interface::new(other, switch));
        }
    }

    /// A tunnel goes over the interfaces that its outer packets take.
    fn add_outer(&mut self, namespace: usize, snapshots: &[Snapshot], link: &Link, ways: &Ways) {
        let above = Interface::new(namespace, link.index);
        let Some(other) = other_namespace(namespace, snapshots, link) else { return };
        let outside = &snapshots[other];
        let local = link.tunnel.local.into_iter().flat_map(|local| outside.interfaces_with(local));
        let answers = tunnel_lookups(&snapshots[namespace], link).into_iter();
        let answers = answers.filter_map(|lookup| ways.get(&(other, lookup)).copied().flatten());
        for index in link.tunnel.link.into_iter().chain(local).chain(answers) {
            self.add(above, Interface::new(other, index));
        }
        if link.kind == "ppp" {
            for device in outside.links.values().filter(|link| outside.pppoe.contains(&link.name)) {
                self.add(above, Interface::new(other, device.index));
            }
        }
    }
}

/// Returns the namespace of an interface's lower side; `None` if it cannot be seen.
pub(super) fn other_namespace(own: usize, snapshots: &[Snapshot], link: &Link) -> Option<usize> {
    match link.below_namespace {
        Some(number) => snapshots[own].neighbours.get(&number).copied(),
        None => Some(own),
    }
}

/// Returns the questions for the way of a tunnel's outer packets.
pub(super) fn tunnel_lookups(snapshot: &Snapshot, link: &Link) -> Vec<Lookup> {
    let forwarding = snapshot.forwarding.iter().filter(|(index, _)| *index == link.index);
    let mut remotes: BTreeSet<IpAddr> = forwarding.map(|(_, remote)| *remote).collect();
    remotes.extend(link.tunnel.remote);
    let peers = snapshot.wireguard.get(&link.index);
    remotes.extend(peers.iter().flat_map(|peers| &peers.remotes));
    let lookup = |destination| Lookup {
        destination,
        source: link.tunnel.local.filter(|local| local.is_ipv4() == destination.is_ipv4()),
        mark: peers.map_or(0, |peers| peers.mark),
        interface: link.tunnel.link,
    };
    remotes.into_iter().map(lookup).collect()
}
