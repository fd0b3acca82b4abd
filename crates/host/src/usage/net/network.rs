//! What the host's networks are used for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::flow::Flow;
use super::link::Link;
use super::namespace::{self, NamespaceSurvey, Sockets};
use super::purpose::NetworkUsage;
use super::route;
use super::rules::{HOST, NeededInterface, Rules};
use super::snapshot::{self, NetworkSnapshot};
use super::stack::{Interface, InterfaceStack, RouteAnswers, outer_namespaces, tunnel_lookups};
use super::storage::{self, StorageServer};
use crate::Host;
use crate::usage::descendants::Descendants;
use crate::usage::report::BlindSpot;
use crate::usage::survey::Usage;

/// The uses that netlink would show.
const USES: &str = namespace::USES;

/// The interfaces whose outer packets go an unknown way.
pub(crate) const TUNNELS: &str = "interfaces that carry tunnels";

/// What the host's networks are used for at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    snapshots: Vec<NetworkSnapshot>,
    /// Interfaces that have a purpose, and all that carry them.
    points: Vec<(NeededInterface, BTreeSet<Interface>)>,
    /// Interfaces that routes of the host lead over.
    routed: BTreeSet<Interface>,
    /// What could not be looked at, for any interface.
    blind_spots: Vec<BlindSpot>,
    /// What could not be looked at, for interfaces that routes lead over.
    routed_blind_spots: Vec<BlindSpot>,
}

impl Network {
    /// Looks at all networks that can be seen. A copy of a host in a folder has none.
    pub(crate) fn survey(host: &Host) -> Self {
        if host.is_copy() {
            return Self::default();
        }
        let census = NamespaceSurvey::scan(host);
        let (mut servers, mut blind_spots) = storage::mounted(&census.mounts);
        servers.extend(storage::attached(host));
        let (snapshots, sockets) = read(host, &census, &mut blind_spots);
        let mut flows = flows(&servers, &snapshots, &census.ssh_sockets);
        flows.extend(host.ssh_session().map(Flow::for_session));
        let ways = ask(&questions(&snapshots, &flows), &sockets);
        blind_spots.extend(census.blind_spots);
        Self {
            blind_spots,
            ..Self::new(snapshots, &ways, &flows, &census.ssh_sockets)
        }
    }

    pub(super) fn new(
        snapshots: Vec<NetworkSnapshot>,
        ways: &RouteAnswers,
        flows: &[Flow],
        ssh_sockets: &BTreeSet<u32>,
    ) -> Self {
        let stack = InterfaceStack::new(&snapshots, ways);
        let facts = Rules {
            snapshots: &snapshots,
            stack: &stack,
            ways,
            flows,
            ssh_sockets,
        };
        let points = facts.points().into_iter();
        let points = points
            .map(|point| (point.clone(), stack.carriers(point.interface)))
            .collect();
        let routed = facts.routed();
        let routed_blind_spots = facts.unseen_carriers();
        Self {
            snapshots,
            points,
            routed,
            blind_spots: Vec::new(),
            routed_blind_spots,
        }
    }

    /// Lists what the network interfaces of a device are used for.
    pub(crate) fn usages(&self, host: &Host, device: &Path, below: &Descendants) -> Vec<Usage> {
        let mut usages = BTreeSet::new();
        for own in self.interfaces(host, device, below) {
            for (point, _) in self
                .points
                .iter()
                .filter(|(_, carriers)| carriers.contains(&own))
            {
                usages.insert(NetworkUsage {
                    netdev: self.name(own),
                    interface: self.name(point.interface),
                    purpose: point.purpose.clone(),
                    more: 0,
                });
            }
        }
        NetworkUsage::join(usages)
            .into_iter()
            .map(Usage::Network)
            .collect()
    }

    /// Lists what could not be looked at that may use a device; none for a device without any
    /// network interface.
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
            let why = "it is in a network namespace that no process and no mount shows";
            blind_spots.push(BlindSpot::new(USES, "its own network interface", why));
        }
        if own.iter().any(|interface| self.routed.contains(interface)) {
            blind_spots.extend(self.routed_blind_spots.clone());
        }
        blind_spots.extend(self.blind_spots.clone());
        blind_spots
    }

    /// Returns the interfaces of a device, in whatever namespace they are.
    fn interfaces(&self, host: &Host, device: &Path, below: &Descendants) -> Vec<Interface> {
        let Ok(device) = fs::canonicalize(device) else {
            return Vec::new();
        };
        let mut interfaces = Vec::new();
        for (namespace, snapshot) in self.snapshots.iter().enumerate() {
            let links = snapshot.links.values();
            let own = links.filter(|link| match &link.parent {
                Some((bus, name)) => {
                    let parent = host.path("sys/bus").join(bus).join("devices").join(name);
                    fs::canonicalize(parent).is_ok_and(|parent| parent.starts_with(&device))
                }
                // Linux before 5.14 does not name the parent.
                None => namespace == HOST && below.netdevs.contains(&link.name),
            });
            interfaces.extend(own.map(|link| Interface::new(namespace, link.index)));
        }
        interfaces
    }

    fn name(&self, interface: Interface) -> String {
        let link = self
            .snapshots
            .get(interface.namespace)
            .and_then(|own| own.links.get(&interface.index));
        link.map(|link| link.name.clone()).unwrap_or_default()
    }
}

/// Reads each namespace. One that cannot be read stays in the list, empty and recorded as unseen.
fn read(
    host: &Host,
    census: &NamespaceSurvey,
    blind_spots: &mut Vec<BlindSpot>,
) -> (Vec<NetworkSnapshot>, Vec<Option<Sockets>>) {
    let mut snapshots = Vec::new();
    let mut all_sockets = Vec::new();
    for namespace in &census.namespaces {
        let sockets = namespace.sockets(host);
        let snapshot = sockets.as_ref().map_err(snapshot::copy);
        let snapshot = snapshot.and_then(|sockets| NetworkSnapshot::read(&namespace.name, sockets));
        let mut snapshot = snapshot.unwrap_or_else(|error| {
            blind_spots.push(BlindSpot::new(
                USES,
                format!("netlink in {}", namespace.name),
                error,
            ));
            NetworkSnapshot {
                name: namespace.name.clone(),
                ..NetworkSnapshot::default()
            }
        });
        if let Ok(sockets) = &sockets {
            snapshot.find_neighbours(sockets, &census.namespaces);
        }
        blind_spots.append(&mut snapshot.blind_spots);
        snapshots.push(snapshot);
        all_sockets.push(sockets.ok());
    }
    (snapshots, all_sockets)
}

pub(super) fn flows(
    servers: &[StorageServer],
    snapshots: &[NetworkSnapshot],
    ssh_sockets: &BTreeSet<u32>,
) -> Vec<Flow> {
    let mut flows: Vec<Flow> = servers.iter().map(Flow::for_server).collect();
    for (network, snapshot) in snapshots.iter().enumerate() {
        flows.extend(Flow::for_connections(network, snapshot, ssh_sockets));
    }
    flows
}

/// Returns each question for a way that connections and tunnels need, in its namespace.
pub(super) fn questions(
    snapshots: &[NetworkSnapshot],
    flows: &[Flow],
) -> BTreeSet<(usize, route::RouteLookup)> {
    let mut questions: BTreeSet<_> = flows.iter().flat_map(Flow::questions).collect();
    for (namespace, snapshot) in snapshots.iter().enumerate() {
        for link in snapshot.links.values().filter(|link| Link::is_tunnel(link)) {
            for outside in outer_namespaces(namespace, snapshots, link) {
                let lookups = tunnel_lookups(snapshot, link).into_iter();
                questions.extend(lookups.map(|lookup| (outside, lookup)));
            }
        }
    }
    questions
}

fn ask(
    questions: &BTreeSet<(usize, route::RouteLookup)>,
    sockets: &[Option<Sockets>],
) -> RouteAnswers {
    let mut ways = BTreeMap::new();
    for (namespace, lookup) in questions {
        let Some(Some(sockets)) = sockets.get(*namespace) else {
            continue;
        };
        ways.insert((*namespace, lookup.clone()), snapshot::way(sockets, lookup));
    }
    ways
}

/// Returns whether a driver has made a network interface for a device. Its folder `net` is there
/// even if the interface is in another namespace, and shows empty then.
fn has_interface(dir: &Path) -> bool {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && (entry.file_name() == "net" || has_interface(&entry.path())) {
            return true;
        }
    }
    false
}
