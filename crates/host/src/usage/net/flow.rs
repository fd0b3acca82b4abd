//! Flows: connections of storage and SSH, with the lookups of their routes in the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::connection::Connection;
use super::interface::HOST;
use super::purpose::NetworkPurpose;
use super::route::RouteLookup;
use super::snapshot::NetworkSnapshot;
use super::storage::StorageServer;
use crate::SshSession;

const SSH_PORT: u16 = 22;

/// A connection, or a server to which one may be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Index of the network namespace in the list of namespaces.
    pub(super) namespace: usize,
    pub(super) lookup: RouteLookup,
    pub(super) purpose: NetworkPurpose,
}

impl Flow {
    pub(super) fn for_server(server: &StorageServer) -> Self {
        Self {
            namespace: server.namespace,
            lookup: RouteLookup::new(server.address, server.source),
            purpose: storage_purpose(server.protocol, server.address),
        }
    }

    /// Describes the SSH session that this program was started from.
    pub(super) fn for_session(session: &SshSession) -> Self {
        Self {
            namespace: HOST,
            lookup: RouteLookup::new(session.client, Some(session.server)),
            purpose: ssh_purpose(session.client),
        }
    }

    /// Lists the connections of storage and SSH in a namespace.
    pub(super) fn for_connections(
        namespace: usize,
        snapshot: &NetworkSnapshot,
        ssh_sockets: &BTreeSet<u32>,
    ) -> Vec<Self> {
        let connections = snapshot.connections.iter();
        connections
            .filter(|connection| !connection.is_loopback())
            .filter_map(|connection| Self::for_connection(namespace, connection, ssh_sockets))
            .collect()
    }

    /// Describes a connection; `None` if it is neither of storage nor of SSH.
    fn for_connection(
        namespace: usize,
        connection: &Connection,
        ssh_sockets: &BTreeSet<u32>,
    ) -> Option<Self> {
        let peer = connection.remote?.ip();
        let purpose = if is_ssh(connection, ssh_sockets) {
            ssh_purpose(peer)
        } else {
            storage_purpose(connection.storage_protocol()?, peer)
        };
        let lookup = RouteLookup {
            mark: connection.mark,
            interface: connection.interface,
            ..RouteLookup::new(peer, Some(connection.local.ip()))
        };
        Some(Self {
            namespace,
            lookup,
            purpose,
        })
    }

    /// Returns the route lookups of this flow, each with its namespace.
    ///
    /// A connection of another namespace may leave the host through the host's own namespace, so
    /// there is a lookup for that namespace too.
    pub(super) fn lookups(&self) -> Vec<(usize, RouteLookup)> {
        let mut lookups = vec![(self.namespace, self.lookup.clone())];
        if self.namespace != HOST {
            lookups.push((HOST, RouteLookup::new(self.lookup.destination, None)));
        }
        lookups
    }
}

/// Returns whether a socket belongs to an SSH server: by its local port, or by the process that
/// has the socket open.
pub(super) fn is_ssh(connection: &Connection, ssh_sockets: &BTreeSet<u32>) -> bool {
    connection.local.port() == SSH_PORT || ssh_sockets.contains(&connection.inode)
}

fn ssh_purpose(peer: IpAddr) -> NetworkPurpose {
    NetworkPurpose::Ssh {
        peer: peer.to_string(),
    }
}

fn storage_purpose(protocol: &str, peer: IpAddr) -> NetworkPurpose {
    NetworkPurpose::Storage {
        protocol: protocol.to_owned(),
        peer: peer.to_string(),
    }
}
