//! Connections whose way the kernel is asked for: storage, and SSH.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::connection::Connection;
use super::purpose::NetworkPurpose;
use super::route::RouteLookup;
use super::snapshot::NetworkSnapshot;
use super::storage::StorageServer;
use crate::SshSession;

const SSH_PORT: u16 = 22;

/// A connection, or a server that one may be opened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) network: usize,
    pub(super) lookup: RouteLookup,
    pub(super) purpose: NetworkPurpose,
}

impl Flow {
    pub(super) fn for_server(server: &StorageServer) -> Self {
        let lookup = lookup(server.address, server.source);
        Self {
            network: server.network,
            lookup,
            purpose: storage(server.protocol, server.address),
        }
    }

    /// Describes the session that this program was started from.
    pub(super) fn for_session(session: &SshSession) -> Self {
        let purpose = NetworkPurpose::Ssh {
            peer: session.client.to_string(),
        };
        Self {
            network: 0,
            lookup: lookup(session.client, Some(session.server)),
            purpose,
        }
    }

    /// Lists the connections of a namespace that matter.
    pub(super) fn for_connections(
        network: usize,
        snapshot: &NetworkSnapshot,
        ssh_sockets: &BTreeSet<u32>,
    ) -> Vec<Self> {
        let connections = snapshot
            .connections
            .iter()
            .filter(|connection| !connection.is_loopback());
        let flows = connections.filter_map(|connection| {
            let peer = connection.remote?.ip();
            let purpose = if is_ssh(connection, ssh_sockets) {
                NetworkPurpose::Ssh {
                    peer: peer.to_string(),
                }
            } else {
                storage(connection.storage()?, peer)
            };
            let bound = lookup(peer, Some(connection.local.ip()));
            let lookup = RouteLookup {
                mark: connection.mark,
                interface: connection.interface,
                ..bound
            };
            Some(Self {
                network,
                lookup,
                purpose,
            })
        });
        flows.collect()
    }

    /// Returns the questions for its way. A connection of another namespace may leave it through
    /// the host's, so that is asked too.
    pub(super) fn questions(&self) -> Vec<(usize, RouteLookup)> {
        let mut questions = vec![(self.network, self.lookup.clone())];
        if self.network != 0 {
            questions.push((0, lookup(self.lookup.destination, None)));
        }
        questions
    }
}

/// Returns whether a socket is of the SSH server: by its port, or by the process that has it.
pub(super) fn is_ssh(connection: &Connection, ssh_sockets: &BTreeSet<u32>) -> bool {
    connection.local.port() == SSH_PORT || ssh_sockets.contains(&connection.inode)
}

fn storage(protocol: &str, peer: IpAddr) -> NetworkPurpose {
    NetworkPurpose::Storage {
        protocol: protocol.to_owned(),
        peer: peer.to_string(),
    }
}

fn lookup(destination: IpAddr, source: Option<IpAddr>) -> RouteLookup {
    RouteLookup {
        destination,
        source,
        mark: 0,
        interface: None,
    }
}
