//! The netlink lists of one network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use super::connection::{self, Connection};
use super::link::{self, Link};
use super::namespace::{NetworkNamespace, Sockets, USAGES};
use super::route::{self, IPV4, IPV6, NextHop, Route, RouteLookup, USUAL_TABLES};
use super::socket::Socket;
use super::wire::{Body, Message};
use super::wireguard::{self, WireGuardPeers};
use crate::usage::blind_spot::BlindSpot;

const GET_ADDRESS: u16 = 22;
const GET_NEIGHBOUR: u16 = 30;
const GET_NAMESPACE_NUMBER: u16 = 90;
const NOT_THERE: i32 = 2;
const NOT_SUPPORTED: i32 = 95;
const FAMILY_NOT_SUPPORTED: i32 = 97;

/// The network of one namespace at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct NetworkSnapshot {
    /// Description for messages, such as `network namespace blue`.
    pub(super) name: String,
    pub(super) links: BTreeMap<u32, Link>,
    /// Addresses of interfaces, by the interface's index.
    pub(super) addresses: Vec<(u32, IpAddr)>,
    pub(super) routes: Vec<Route>,
    /// Routing tables that a rule leads to.
    pub(super) tables: BTreeSet<u32>,
    pub(super) connections: Vec<Connection>,
    /// Other namespaces that links refer to: the number in this namespace, and the index in the
    /// list of namespaces.
    pub(super) neighbours: BTreeMap<u32, usize>,
    /// Remote ends in the forwarding tables of vxlan interfaces, by the interface's index.
    pub(super) forwarding: Vec<(u32, IpAddr)>,
    pub(super) wireguard: BTreeMap<u32, WireGuardPeers>,
    /// Names of the interfaces below PPPoE sessions.
    pub(super) pppoe: Vec<String>,
    pub(super) blind_spots: Vec<BlindSpot>,
}

impl NetworkSnapshot {
    /// Reads all lists. [`find_neighbours`](Self::find_neighbours) fills in `neighbours`.
    ///
    /// # Errors
    /// If links, addresses, routes or rules cannot be listed, then the kernel's errno. Other lists
    /// that fail become blind spots.
    pub(super) fn read(name: &str, sockets: &Sockets) -> io::Result<Self> {
        let netlink = &sockets.route;
        let mut snapshot = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        for message in netlink.dump(link::GET, &link::request())? {
            if let Some(link) = Link::parse(&message) {
                snapshot.links.insert(link.index, link);
            }
        }

        let addresses = netlink.dump(GET_ADDRESS, &Body::new(&[0; 8]))?;
        snapshot.addresses = addresses.iter().filter_map(link::parse_address).collect();
        snapshot.read_routes(netlink)?;
        for link in snapshot.links.values() {
            snapshot.tables.extend(link.vrf_table);
        }
        snapshot.read_pppoe(&sockets.pppoe);
        snapshot.read_vxlan(netlink);
        snapshot.read_wireguard(&sockets.generic);
        snapshot.read_connections(&sockets.connections);
        Ok(snapshot)
    }

    fn read_routes(&mut self, netlink: &Socket) -> io::Result<()> {
        let mut hops = BTreeMap::new();
        for message in optional(netlink.dump(route::GET_NEXT_HOP, &Body::new(&[0; 8])))? {
            if let Some(hop) = NextHop::parse(&message) {
                hops.insert(hop.id, hop);
            }
        }

        self.tables.extend(USUAL_TABLES);
        for family in [IPV4, IPV6] {
            let request = route::request(family);
            for message in optional(netlink.dump(route::GET_ROUTE, &request))? {
                let route = Route::parse(&message);
                self.routes.extend(route.map(|route| route.resolve(&hops)));
            }
            let rules = optional(netlink.dump(route::GET_RULE, &request))?;
            self.tables
                .extend(rules.iter().filter_map(route::parse_rule));
        }

        Ok(())
    }

    /// Reads the `Device` column of `/proc/net/pppoe`: `Id Address Device`.
    fn read_pppoe(&mut self, text: &str) {
        for line in text.lines().skip(1) {
            let device = line.split_whitespace().nth(2);
            self.pppoe.extend(device.map(str::to_owned));
        }
    }

    fn read_vxlan(&mut self, netlink: &Socket) {
        const BRIDGE_FAMILY: u8 = 7;
        if !self.links.values().any(|link| link.kind == "vxlan") {
            return;
        }
        let mut header = [0; 12];
        header[0] = BRIDGE_FAMILY;
        match optional(netlink.dump(GET_NEIGHBOUR, &Body::new(&header))) {
            Ok(list) => {
                let entries = list.iter().filter_map(link::parse_forwarding);
                self.forwarding.extend(entries);
            }
            Err(error) => self.add_blind_spot("remote ends of vxlan interfaces", error),
        }
    }

    fn read_wireguard(&mut self, generic: &io::Result<Socket>) {
        let mut indices: Vec<u32> = self.links.keys().copied().collect();
        indices.retain(|index| self.links[index].kind == "wireguard");
        for index in indices {
            let generic = generic.as_ref().map_err(copy);
            match generic.and_then(|generic| wireguard::peers(generic, index)) {
                Ok(peers) => {
                    self.wireguard.insert(index, peers);
                }
                Err(error) => self.add_blind_spot("peers of WireGuard interfaces", error),
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
                Ok(list) => {
                    let connections = list.iter().filter_map(Connection::parse);
                    self.connections.extend(connections);
                }
                Err(error) => return self.add_blind_spot("connections of storage and SSH", error),
            }
        }
    }

    fn add_blind_spot(&mut self, usages: &'static str, error: io::Error) {
        self.blind_spots
            .push(BlindSpot::new(usages, &self.name, error));
    }

    /// Fills in `neighbours`: the namespaces that links refer to by a number. A hidden namespace
    /// becomes a blind spot.
    pub(super) fn find_neighbours(&mut self, sockets: &Sockets, namespaces: &[NetworkNamespace]) {
        let numbers = self.links.values().filter_map(|link| link.below_namespace);
        let mut wanted: BTreeSet<u32> = numbers.collect();
        for (index, namespace) in namespaces.iter().enumerate() {
            if wanted.is_empty() {
                return;
            }
            let file = namespace.as_fd().as_raw_fd().to_ne_bytes();
            let request = Body::new(&[0; 4]).attribute(3, &file);
            let answer = sockets.route.ask(GET_NAMESPACE_NUMBER, &request);
            if let Ok(Some(number)) = answer.as_ref().map(link::parse_namespace_number) {
                wanted.remove(&number);
                self.neighbours.insert(number, index);
            }
        }

        for link in self.links.values() {
            let number = link.below_namespace;
            if number.is_some_and(|number| wanted.contains(&number)) {
                let place = format!(
                    "the network namespace behind {} in {}",
                    link.name, self.name
                );
                let reason = "no process and no mount shows it";
                self.blind_spots.push(BlindSpot::new(USAGES, place, reason));
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

/// Asks the kernel for the interface that packets leave by. Returns `None` without a route.
pub(super) fn outgoing_interface(sockets: &Sockets, lookup: &RouteLookup) -> Option<u32> {
    let netlink = &sockets.route;
    let mut answer = netlink.ask(route::GET_ROUTE, &lookup.request());
    if answer.is_err() {
        // The kernel rejects a source that is not an address of this namespace.
        let without_source = RouteLookup {
            source: None,
            ..lookup.clone()
        };
        answer = netlink.ask(route::GET_ROUTE, &without_source.request());
    }

    RouteLookup::parse_answer(&answer.ok()?)
}

/// Returns an empty list if the kernel does not have the kind of list.
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

/// Copies an error, as far as possible.
pub(super) fn copy(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}
