//! The survey of the host's networks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::flow::Flow;
use super::interface::{HOST, Interface, RouteAnswers};
use super::link::Link;
use super::namespace::{NamespaceSurvey, Sockets, USAGES};
use super::purpose::NetworkUsage;
use super::route::RouteLookup;
use super::rules::{NeededInterface, Rules};
use super::snapshot::{self, NetworkSnapshot};
use super::stack::{InterfaceStack, outer_namespaces, tunnel_lookups};
use super::storage::{self, StorageServer};
use crate::Host;
use crate::usage::blind_spot::BlindSpot;
use crate::usage::descendants::Descendants;
use crate::usage::usage::Usage;

/// The parts of a host survey that concern network interfaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    snapshots: Vec<NetworkSnapshot>,
    /// Interfaces that the host needs, each with all interfaces that carry it.
    needed: Vec<(NeededInterface, BTreeSet<Interface>)>,
    /// Interfaces that routes of the host lead over, with their carriers.
    routed: BTreeSet<Interface>,
    /// Blind spots for any interface.
    blind_spots: Vec<BlindSpot>,
    /// Blind spots for interfaces in `routed`.
    routed_blind_spots: Vec<BlindSpot>,
}

impl Network {
    /// Surveys all networks that can be inspected. The survey of a copy of a host is empty.
    pub(crate) fn survey(host: &Host) -> Self {
        if host.is_copy() {
            return Self::default();
        }
        let namespaces = NamespaceSurvey::scan(host);
        let (mut servers, mut blind_spots) = storage::mounted(&namespaces.mounts);
        servers.extend(storage::attached(host));
        let (snapshots, sockets) = read_snapshots(host, &namespaces, &mut blind_spots);
        let mut flows = flows(&servers, &snapshots, &namespaces.ssh_sockets);
        flows.extend(host.ssh_session().map(Flow::for_session));
        let answers = look_up(&lookups(&snapshots, &flows), &sockets);
        blind_spots.extend(namespaces.blind_spots);
        Self {
            blind_spots,
            ..Self::new(snapshots, &answers, &flows, &namespaces.ssh_sockets)
        }
    }

    pub(super) fn new(
        snapshots: Vec<NetworkSnapshot>,
        answers: &RouteAnswers,
        flows: &[Flow],
        ssh_sockets: &BTreeSet<u32>,
    ) -> Self {
        let stack = InterfaceStack::new(&snapshots, answers);
        let rules = Rules {
            snapshots: &snapshots,
            stack: &stack,
            answers,
            flows,
            ssh_sockets,
        };
        let mut needed = Vec::new();
        for interface in rules.needed_interfaces() {
            let carriers = stack.carriers(interface.interface);
            needed.push((interface, carriers));
        }

        let routed = rules.routed();
        let routed_blind_spots = rules.unknown_carriers();
        Self {
            snapshots,
            needed,
            routed,
            blind_spots: Vec::new(),
            routed_blind_spots,
        }
    }

    /// Lists the usages of a device's network interfaces.
    pub(crate) fn usages(&self, host: &Host, device: &Path, below: &Descendants) -> Vec<Usage> {
        let mut usages = BTreeSet::new();
        for own in self.interfaces(host, device, below) {
            for (needed, carriers) in &self.needed {
                if carriers.contains(&own) {
                    usages.insert(NetworkUsage {
                        netdev: self.name(own),
                        interface: self.name(needed.interface),
                        purpose: needed.purpose.clone(),
                        more: 0,
                    });
                }
            }
        }

        NetworkUsage::join(usages)
            .into_iter()
            .map(Usage::Network)
            .collect()
    }

    /// Lists the blind spots that may hide usages of a device. There are none for a device without
    /// a network interface.
    pub(crate) fn blind_spots(
        &self,
        host: &Host,
        device: &Path,
        below: &Descendants,
    ) -> Vec<BlindSpot> {
        let own = self.interfaces(host, device, below);
        let mut blind_spots = Vec::new();
        if own.is_empty() && !has_interface(device) {
            return blind_spots;
        }
        if own.is_empty() && !host.is_copy() {
            let reason = "it is in a network namespace that no process and no mount shows";
            blind_spots.push(BlindSpot::new(USAGES, "its own network interface", reason));
        }

        if own.iter().any(|interface| self.routed.contains(interface)) {
            blind_spots.extend(self.routed_blind_spots.clone());
        }
        blind_spots.extend(self.blind_spots.clone());
        blind_spots
    }

    /// Returns the interfaces of a device, in any namespace.
    fn interfaces(&self, host: &Host, device: &Path, below: &Descendants) -> Vec<Interface> {
        let Ok(device) = fs::canonicalize(device) else {
            return Vec::new();
        };
        let mut interfaces = Vec::new();
        for (namespace, snapshot) in self.snapshots.iter().enumerate() {
            for link in snapshot.links.values() {
                let is_own = match &link.parent {
                    Some((bus, name)) => {
                        let parent = host.path("sys/bus").join(bus).join("devices").join(name);
                        fs::canonicalize(parent).is_ok_and(|parent| parent.starts_with(&device))
                    }
                    // Linux before 5.14 does not report the parent.
                    None => namespace == HOST && below.netdevs.contains(&link.name),
                };
                if is_own {
                    interfaces.push(Interface::new(namespace, link.index));
                }
            }
        }

        interfaces
    }

    fn name(&self, interface: Interface) -> String {
        let snapshot = self.snapshots.get(interface.namespace);
        let link = snapshot.and_then(|snapshot| snapshot.links.get(&interface.index));
        link.map(|link| link.name.clone()).unwrap_or_default()
    }
}

/// Reads each namespace. If a namespace cannot be read, its snapshot is empty, and there is a blind
/// spot.
fn read_snapshots(
    host: &Host,
    survey: &NamespaceSurvey,
    blind_spots: &mut Vec<BlindSpot>,
) -> (Vec<NetworkSnapshot>, Vec<Option<Sockets>>) {
    let mut snapshots = Vec::new();
    let mut all_sockets = Vec::new();
    for namespace in &survey.namespaces {
        let sockets = namespace.sockets(host);
        let snapshot = sockets
            .as_ref()
            .map_err(snapshot::copy)
            .and_then(|sockets| NetworkSnapshot::read(&namespace.name, sockets));
        let mut snapshot = snapshot.unwrap_or_else(|error| {
            let place = format!("netlink in {}", namespace.name);
            blind_spots.push(BlindSpot::new(USAGES, place, error));
            NetworkSnapshot {
                name: namespace.name.clone(),
                ..NetworkSnapshot::default()
            }
        });
        if let Ok(sockets) = &sockets {
            snapshot.find_neighbours(sockets, &survey.namespaces);
        }
        blind_spots.append(&mut snapshot.blind_spots);
        snapshots.push(snapshot);
        all_sockets.push(sockets.ok());
    }

    (snapshots, all_sockets)
}

/// Lists the flows of storage servers and of the connections in all namespaces.
pub(super) fn flows(
    servers: &[StorageServer],
    snapshots: &[NetworkSnapshot],
    ssh_sockets: &BTreeSet<u32>,
) -> Vec<Flow> {
    let mut flows: Vec<Flow> = servers.iter().map(Flow::for_server).collect();
    for (namespace, snapshot) in snapshots.iter().enumerate() {
        flows.extend(Flow::for_connections(namespace, snapshot, ssh_sockets));
    }
    flows
}

/// Returns the route lookups that flows and tunnels need, each with its namespace.
pub(super) fn lookups(
    snapshots: &[NetworkSnapshot],
    flows: &[Flow],
) -> BTreeSet<(usize, RouteLookup)> {
    let mut lookups: BTreeSet<_> = flows.iter().flat_map(Flow::lookups).collect();
    for (namespace, snapshot) in snapshots.iter().enumerate() {
        for link in snapshot.links.values().filter(|link| Link::is_tunnel(link)) {
            for outside in outer_namespaces(namespace, snapshots, link) {
                for lookup in tunnel_lookups(snapshot, link) {
                    lookups.insert((outside, lookup));
                }
            }
        }
    }

    lookups
}

fn look_up(lookups: &BTreeSet<(usize, RouteLookup)>, sockets: &[Option<Sockets>]) -> RouteAnswers {
    let mut answers = BTreeMap::new();
    for (namespace, lookup) in lookups {
        if let Some(Some(sockets)) = sockets.get(*namespace) {
            let interface = snapshot::outgoing_interface(sockets, lookup);
            answers.insert((*namespace, lookup.clone()), interface);
        }
    }

    answers
}

/// Returns whether a driver has made a network interface for a device.
///
/// The device then has a folder `net`. The folder is empty if the interface is in another
/// namespace.
fn has_interface(dir: &Path) -> bool {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && (entry.file_name() == "net" || has_interface(&entry.path())) {
            return true;
        }
    }

    false
}
