//! Everything that netlink lists in one network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use super::connection::{self, Connection};
use super::link::{self, Link};
use super::namespace::{NetworkNamespace, Sockets, USES};
use super::route::{self, IPV4, IPV6, NextHop, Route, RouteLookup, USUAL_TABLES};
use super::socket::Socket;
use super::wire::{Body, Message};
use super::wireguard::{self, WireGuardPeers};
use crate::usage::report::BlindSpot;

const GET_ADDRESS: u16 = 22;
const GET_NEIGHBOUR: u16 = 30;
const GET_NAMESPACE_NUMBER: u16 = 90;
const NOT_THERE: i32 = 2;
const NOT_SUPPORTED: i32 = 95;
const FAMILY_NOT_SUPPORTED: i32 = 97;

/// The network of one namespace at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct NetworkSnapshot {
    /// Words for messages, such as `network namespace blue`.
    pub(super) name: String,
    pub(super) links: BTreeMap<u32, Link>,
    pub(super) addresses: Vec<(u32, IpAddr)>,
    pub(super) routes: Vec<Route>,
    /// Tables that a rule leads to.
    pub(super) tables: BTreeSet<u32>,
    pub(super) connections: Vec<Connection>,
    /// Places, in the list of namespaces, of those that links here name by a number.
    pub(super) neighbours: BTreeMap<u32, usize>,
    /// Remote ends of vxlan interfaces, from their forwarding tables.
    pub(super) forwarding: Vec<(u32, IpAddr)>,
    pub(super) wireguard: BTreeMap<u32, WireGuardPeers>,
    /// Names of the interfaces that PPPoE sessions go over.
    pub(super) pppoe: Vec<String>,
    pub(super) blind_spots: Vec<BlindSpot>,
}

impl NetworkSnapshot {
    /// Asks for all but the numbers of other namespaces.
    ///
    /// # Errors
    /// If links, addresses, routes or rules cannot be listed, then the kernel's errno. Other lists
    /// that fail are recorded as unseen.
    pub(super) fn read(name: &str, sockets: &Sockets) -> io::Result<Self> {
        let netlink = &sockets.route;
        let links = netlink.dump(link::GET, &link::request())?;
        let links: BTreeMap<u32, Link> = links
            .iter()
            .filter_map(Link::parse)
            .map(|link| (link.index, link))
            .collect();
        let mut snapshot = Self {
            name: name.to_owned(),
            links,
            ..Self::default()
        };
        let addresses = netlink.dump(GET_ADDRESS, &Body::new(&[0; 8]))?;
        snapshot.addresses = addresses.iter().filter_map(link::parse_address).collect();
        let hops = optional(netlink.dump(route::GET_NEXT_HOP, &Body::new(&[0; 8])))?;
        let hops = hops
            .iter()
            .filter_map(NextHop::parse)
            .map(|hop| (hop.id, hop))
            .collect();
        for family in [IPV4, IPV6] {
            let routes = optional(netlink.dump(route::GET_ROUTE, &route::request(family)))?;
            let routes = routes.iter().filter_map(Route::parse);
            snapshot
                .routes
                .extend(routes.map(|route| route.resolve(&hops)));
            let rules = optional(netlink.dump(route::GET_RULE, &route::request(family)))?;
            snapshot
                .tables
                .extend(rules.iter().filter_map(route::parse_rule));
        }
        snapshot.tables.extend(USUAL_TABLES);
        snapshot
            .tables
            .extend(snapshot.links.values().filter_map(|link| link.vrf_table));
        snapshot.read_tunnels(sockets);
        snapshot.read_connections(&sockets.connections);
        Ok(snapshot)
    }

    fn read_tunnels(&mut self, sockets: &Sockets) {
        // The interface behind "Id Address Device".
        let sessions = sockets.pppoe.lines().skip(1);
        self.pppoe = sessions
            .filter_map(|line| line.split_whitespace().nth(2))
            .map(str::to_owned)
            .collect();
        if self.links.values().any(|link| link.kind == "vxlan") {
            let mut header = [0; 12];
            header[0] = 7; // AF_BRIDGE
            match optional(sockets.route.dump(GET_NEIGHBOUR, &Body::new(&header))) {
                Ok(list) => {
                    self.forwarding = list.iter().filter_map(link::parse_forwarding).collect();
                }
                Err(error) => self.miss("remote ends of vxlan interfaces", error),
            }
        }
        let wireguard = self.links.values().filter(|link| link.kind == "wireguard");
        for index in wireguard.map(|link| link.index).collect::<Vec<_>>() {
            let generic = sockets.generic.as_ref().map_err(copy);
            match generic.and_then(|generic| wireguard::peers(generic, index)) {
                Ok(peers) => drop(self.wireguard.insert(index, peers)),
                Err(error) => self.miss("peers of WireGuard interfaces", error),
            }
        }
    }

    fn read_connections(&mut self, socket: &io::Result<Socket>) {
        for family in [IPV4, IPV6] {
            let list = match socket {
                Ok(socket) => socket.dump(connection::GET, &connection::request(family)),
                Err(error) => Err(copy(error)),
            };
            match list {
                Ok(list) => self
                    .connections
                    .extend(list.iter().filter_map(Connection::parse)),
                Err(error) => return self.miss("connections of storage and SSH", error),
            }
        }
    }

    fn miss(&mut self, usages: &'static str, error: io::Error) {
        self.blind_spots
            .push(BlindSpot::new(usages, &self.name, error));
    }

    /// Finds out which namespaces the links name by a number.
    pub(super) fn find_neighbours(&mut self, sockets: &Sockets, namespaces: &[NetworkNamespace]) {
        let numbers = self.links.values().filter_map(|link| link.below_namespace);
        let mut wanted: BTreeSet<u32> = numbers.collect();
        for (place, namespace) in namespaces.iter().enumerate() {
            if wanted.is_empty() {
                return;
            }
            let file = namespace.as_fd().as_raw_fd().to_ne_bytes();
            let question = Body::new(&[0; 4]).attribute(3, &file);
            let answer = sockets.route.ask(GET_NAMESPACE_NUMBER, &question);
            if let Ok(Some(number)) = answer.as_ref().map(link::parse_namespace_number) {
                wanted.remove(&number);
                self.neighbours.insert(number, place);
            }
        }
        for link in self.links.values() {
            if link
                .below_namespace
                .is_some_and(|number| wanted.contains(&number))
            {
                let place = format!(
                    "the network namespace behind {} in {}",
                    link.name, self.name
                );
                self.blind_spots.push(BlindSpot::new(
                    USES,
                    place,
                    "no process and no mount shows it",
                ));
            }
        }
    }

    /// Returns the interfaces that have an address.
    pub(super) fn interfaces_with(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        self.addresses
            .iter()
            .filter(move |(_, own)| *own == address)
            .map(|(index, _)| *index)
    }
}

/// Asks the kernel by which interface packets leave; `None` where no route leads there.
pub(super) fn way(sockets: &Sockets, lookup: &RouteLookup) -> Option<u32> {
    let ask = |lookup: &RouteLookup| sockets.route.ask(route::GET_ROUTE, &lookup.request());
    // A source that is not an address of this namespace is refused.
    let answer = ask(lookup).or_else(|_| {
        ask(&RouteLookup {
            source: None,
            ..lookup.clone()
        })
    });
    RouteLookup::answer(&answer.ok()?)
}

/// Takes a list that this kernel does not have for an empty one.
fn optional(list: io::Result<Vec<Message>>) -> io::Result<Vec<Message>> {
    match list {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(NOT_THERE | NOT_SUPPORTED | FAMILY_NOT_SUPPORTED)
            ) =>
        {
            Ok(Vec::new())
        }
        list => list,
    }
}

pub(super) fn copy(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
