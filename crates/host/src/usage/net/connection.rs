//! TCP sockets of one namespace, by `sock_diag`.

use std::net::{IpAddr, SocketAddr};

use super::wire::{Attributes, Body, Message, address, u32_at};

pub(super) const GET: u16 = 20;
const TCP: u8 = 6;
const ESTABLISHED: u8 = 1;
const LISTENING: u8 = 10;
const ATTRIBUTE_MARK: u16 = 15;

/// A TCP socket that is connected or listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) local: SocketAddr,
    /// Remote end; `None` if the socket listens.
    pub(super) remote: Option<SocketAddr>,
    pub(super) interface: Option<u32>,
    pub(super) mark: u32,
    pub(super) inode: u32,
}

/// Returns the request body for the connected and listening sockets of a family.
pub(super) fn request(family: u8) -> Body {
    let mut header = [0; 56];
    header[0] = family;
    header[1] = TCP;
    header[4..8].copy_from_slice(&(1_u32 << ESTABLISHED | 1 << LISTENING).to_ne_bytes());
    Body::new(&header)
}

impl Connection {
    pub(super) fn parse(message: &Message) -> Option<Self> {
        let body = &message.body;
        if message.kind != GET {
            return None;
        }
        let family = *body.first()?;
        let state = *body.get(1)?;
        let interface = u32_at(body, 40)?;
        let remote = if state == LISTENING {
            None
        } else {
            Some(end(body, 6, 24, family)?)
        };
        Some(Self {
            local: end(body, 4, 8, family)?,
            remote,
            interface: (interface != 0).then_some(interface),
            mark: Attributes::after(body, 72).u32(ATTRIBUTE_MARK).unwrap_or(0),
            inode: u32_at(body, 68)?,
        })
    }

    /// Returns the storage protocol of the connection, by the port of either end.
    pub(super) fn storage_protocol(&self) -> Option<&'static str> {
        let remote = self.remote?;
        storage_protocol(remote.port()).or_else(|| storage_protocol(self.local.port()))
    }

    /// Returns whether both ends are on this host.
    pub(super) fn is_loopback(&self) -> bool {
        let local = self.local.ip();
        match self.remote {
            Some(remote) => remote.ip().is_loopback() || remote.ip() == local,
            None => local.is_loopback(),
        }
    }
}

/// Reads one end of a connection: its port at `port_at`, its address at `address_at`.
fn end(body: &[u8], port_at: usize, address_at: usize, family: u8) -> Option<SocketAddr> {
    const IPV4: u8 = 2;
    let port = body.get(port_at..port_at + 2)?;
    let port = u16::from_be_bytes(port.try_into().ok()?);
    let length = if family == IPV4 { 4 } else { 16 };
    let address: IpAddr = address(body.get(address_at..address_at + length)?)?;
    Some(SocketAddr::new(address, port))
}

/// Returns the storage protocol that commonly has a TCP port.
fn storage_protocol(port: u16) -> Option<&'static str> {
    Some(match port {
        2049 => "NFS",
        3260 => "iSCSI",
        4420 | 8009 => "NVMe over TCP",
        3300 | 6789 => "Ceph",
        445 => "SMB",
        10809 => "NBD",
        7788..=7799 => "DRBD",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(family: u8, state: u8, ports: [u16; 2], ends: [IpAddr; 2]) -> Message {
        let mut body = vec![0; 72];
        body[0] = family;
        body[1] = state;
        for (i, port) in ports.iter().enumerate() {
            body[4 + 2 * i..6 + 2 * i].copy_from_slice(&port.to_be_bytes());
        }
        for (i, end) in ends.iter().enumerate() {
            let octets = match end {
                IpAddr::V4(end) => end.octets().to_vec(),
                IpAddr::V6(end) => end.octets().to_vec(),
            };
            body[8 + 16 * i..8 + 16 * i + octets.len()].copy_from_slice(&octets);
        }

        body[68..72].copy_from_slice(&4711_u32.to_ne_bytes());
        body.extend(
            Body::default()
                .attribute(ATTRIBUTE_MARK, &5_u32.to_ne_bytes())
                .bytes(),
        );
        Message {
            kind: GET,
            flags: 2,
            sequence: 1,
            body,
        }
    }

    #[test]
    fn connection_is_read_with_both_ends() {
        let ends = ["10.0.3.15", "10.0.3.100"].map(|text| text.parse().unwrap());
        let nfs = Connection::parse(&message(2, ESTABLISHED, [900, 2049], ends)).unwrap();
        let expected = Connection {
            local: "10.0.3.15:900".parse().unwrap(),
            remote: Some("10.0.3.100:2049".parse().unwrap()),
            interface: None,
            mark: 5,
            inode: 4711,
        };
        assert_eq!(nfs, expected);
        assert_eq!(nfs.storage_protocol(), Some("NFS"));
    }

    #[test]
    fn mapped_ends_of_an_ipv6_socket_are_ipv4() {
        let ends = ["::ffff:10.0.3.15", "::ffff:10.0.3.2"].map(|text| text.parse().unwrap());
        let ssh = Connection::parse(&message(10, ESTABLISHED, [22, 50000], ends)).unwrap();
        assert_eq!(ssh.remote, Some("10.0.3.2:50000".parse().unwrap()));
        assert!(!ssh.is_loopback());
    }

    #[test]
    fn listening_socket_has_no_remote_end() {
        let ends = ["0.0.0.0", "0.0.0.0"].map(|text| text.parse().unwrap());
        let server = Connection::parse(&message(2, LISTENING, [2049, 0], ends)).unwrap();
        assert_eq!(server.remote, None);
        assert_eq!(server.storage_protocol(), None);
    }

    #[test]
    fn storage_ports_have_their_protocols() {
        let names =
            [2049, 3260, 4420, 8009, 3300, 6789, 445, 10809, 7788, 443].map(storage_protocol);
        assert!(names[..9].iter().all(Option::is_some));
        assert_eq!(names[9], None);
    }
}
