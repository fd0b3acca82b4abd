//! Made-up networks for the tests of the rules: a host with two cards.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::connection::Connection;
use super::interface::{HOST, RouteAnswers};
use super::link::Link;
use super::network::{Network, flows, lookups};
use super::route::Route;

use super::snapshot::NetworkSnapshot;

use crate::test_tree::Tree;
use crate::usage::descendants::Descendants;

/// Index of `eth0`, the interface of the PCI device that the reports are on.
pub(super) const CARD: u32 = 2;
/// Index of `eth1`, an interface of another PCI device.
pub(super) const OTHER: u32 = 3;

pub(super) struct Scene {
    tree: Tree,
    pub(super) snapshots: Vec<NetworkSnapshot>,
    pub(super) ssh_sockets: BTreeSet<u32>,
    /// The kernel's answers to route lookups: destination and outgoing interface.
    answers: Vec<(IpAddr, u32)>,
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        is_up: true,
        ..Link::default()
    }
}

impl Scene {
    pub(super) fn new() -> Self {
        let tree = Tree::new();
        let mut host = NetworkSnapshot {
            tables: [253, 254, 255].into(),
            ..NetworkSnapshot::default()
        };
        for (index, name, device) in [
            (CARD, "eth0", "0000:01:00.0"),
            (OTHER, "eth1", "0000:02:00.0"),
        ] {
            tree.pci(device, 0x020000);
            let parent = Some(("pci".to_owned(), device.to_owned()));
            host.links.insert(
                index,
                Link {
                    parent,
                    ..link(index, name)
                },
            );
        }

        Self {
            tree,
            snapshots: vec![host],
            ssh_sockets: BTreeSet::new(),
            answers: Vec::new(),
        }
    }

    pub(super) fn add(mut self, link: Link) -> Self {
        self.snapshots[HOST].links.insert(link.index, link);
        self
    }

    pub(super) fn link(&mut self, index: u32) -> &mut Link {
        self.snapshots[HOST].links.get_mut(&index).unwrap()
    }

    pub(super) fn namespace(mut self, name: &str) -> Self {
        self.snapshots.push(NetworkSnapshot {
            name: name.to_owned(),
            ..NetworkSnapshot::default()
        });
        self
    }

    pub(super) fn default_over(self, interface: u32, table: u32) -> Self {
        let mut scene = self.route(interface, "0.0.0.0", 0, table);
        scene.snapshots[HOST].routes.last_mut().unwrap().has_gateway = true;
        scene
    }

    pub(super) fn route(
        mut self,
        interface: u32,
        destination: &str,
        length: u8,
        table: u32,
    ) -> Self {
        self.snapshots[HOST].routes.push(Route {
            destination: address(destination),
            length,
            table,
            has_gateway: false,
            interfaces: vec![interface],
            next_hop: None,
        });
        self
    }

    /// Makes the kernel's answer that an address is reached over an interface.
    pub(super) fn answer(mut self, destination: &str, interface: u32) -> Self {
        self.answers.push((address(destination), interface));
        self
    }

    pub(super) fn connection(mut self, local: &str, remote: &str) -> Self {
        let remote: SocketAddr = remote.parse().unwrap();
        let connection = Connection {
            local: local.parse().unwrap(),
            remote: Some(remote),
            interface: None,
            mark: 0,
            inode: 7,
        };
        self.snapshots[HOST].connections.push(connection);
        self
    }

    fn network(&self) -> Network {
        let flows = flows(&[], &self.snapshots, &self.ssh_sockets);
        let mut answers = RouteAnswers::new();
        for (namespace, lookup) in lookups(&self.snapshots, &flows) {
            let mut own = self.answers.iter();
            let answer = own.find(|(destination, _)| *destination == lookup.destination);
            answers.insert((namespace, lookup), answer.map(|(_, interface)| *interface));
        }

        Network::new(self.snapshots.clone(), &answers, &flows, &self.ssh_sockets)
    }

    /// Returns the usages of the device of `eth0`, as text.
    pub(super) fn usages(&self) -> Vec<String> {
        let host = self.tree.host();
        let device = host.pci("0000:01:00.0".parse().unwrap());
        let usages = self
            .network()
            .usages(&host, &device, &Descendants::default());
        usages.iter().map(ToString::to_string).collect()
    }

    /// Returns the usages, as text, with a kernel that does not report the parents of links.
    pub(super) fn usages_without_parents(&self) -> Vec<String> {
        let host = self.tree.host();
        let device = host.pci("0000:01:00.0".parse().unwrap());
        let below = Descendants {
            netdevs: vec!["eth0".into()],
            ..Descendants::default()
        };
        let usages = self.network().usages(&host, &device, &below);
        usages.iter().map(ToString::to_string).collect()
    }

    /// Returns the blind spots for the device of `eth0`, as text.
    pub(super) fn blind_spots(&self) -> Vec<String> {
        let host = self.tree.host();
        let device = host.pci("0000:01:00.0".parse().unwrap());
        let blind_spots = self
            .network()
            .blind_spots(&host, &device, &Descendants::default());
        blind_spots.iter().map(ToString::to_string).collect()
    }
}
