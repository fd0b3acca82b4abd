//! Networks made up for the tests of the rules: a host with two cards.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::connection::Connection;
use super::link::Link;
use super::network::{Network, flows, questions};
use super::route::Route;
use super::rules::HOST;
use super::snapshot::NetworkSnapshot;
use super::stack::RouteAnswers;
use crate::test_tree::Tree;
use crate::usage::descendants::Descendants;

/// Index of `eth0`, of the PCI device that [`Scene::uses`] is about.
pub(super) const CARD: u32 = 2;
/// Index of `eth1`, of another PCI device.
pub(super) const OTHER: u32 = 3;

pub(super) struct Scene {
    tree: Tree,
    pub(super) snapshots: Vec<NetworkSnapshot>,
    pub(super) ssh_sockets: BTreeSet<u32>,
    ways: Vec<(IpAddr, u32)>,
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
            ways: Vec::new(),
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

    /// Has the kernel answer that an address is reached over an interface.
    pub(super) fn way(mut self, destination: &str, interface: u32) -> Self {
        self.ways.push((address(destination), interface));
        self
    }

    pub(super) fn connection(mut self, local: &str, remote: &str) -> Self {
        let remote: SocketAddr = remote.parse().unwrap();
        let local = local.parse().unwrap();
        let connection = Connection {
            local,
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
        let mut ways = RouteAnswers::new();
        for (namespace, lookup) in questions(&self.snapshots, &flows) {
            let way = self
                .ways
                .iter()
                .find(|way| way.0 == lookup.destination)
                .map(|way| way.1);
            ways.insert((namespace, lookup), way);
        }
        Network::new(self.snapshots.clone(), &ways, &flows, &self.ssh_sockets)
    }

    /// Returns the uses of the device of `eth0`, in words.
    pub(super) fn usages(&self) -> Vec<String> {
        let host = self.tree.host();
        let device = host.pci("0000:01:00.0".parse().unwrap());
        let usages = self
            .network()
            .usages(&host, &device, &Descendants::default());
        usages.iter().map(ToString::to_string).collect()
    }

    /// Returns the uses, in words, as with a kernel that names no parent of a link.
    pub(super) fn uses_below(&self) -> Vec<String> {
        let host = self.tree.host();
        let device = host.pci("0000:01:00.0".parse().unwrap());
        let below = Descendants {
            netdevs: vec!["eth0".into()],
            ..Descendants::default()
        };
        let usages = self.network().usages(&host, &device, &below);
        usages.iter().map(ToString::to_string).collect()
    }

    /// Returns what was not seen for the device of `eth0`, in words.
    pub(super) fn blind_spots(&self) -> Vec<String> {
        let host = self.tree.host();
        let device = host.pci("0000:01:00.0".parse().unwrap());
        let blind_spots = self
            .network()
            .blind_spots(&host, &device, &Descendants::default());
        blind_spots.iter().map(ToString::to_string).collect()
    }
}
