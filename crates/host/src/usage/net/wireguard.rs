//! Remote ends of WireGuard interfaces, by generic netlink.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::socket::Socket;
use super::wire::{Attributes, Body, Message, address, u16_at};

const CONTROLLER: u16 = 0x10;
const HEADER: usize = 4;

/// The peers of a WireGuard interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WireGuardPeers {
    /// Mark of the outer packets.
    pub(super) mark: u32,
    /// Addresses that the outer packets are sent to.
    pub(super) remotes: Vec<IpAddr>,
}

/// Requests the peers of an interface in the socket's namespace.
pub(super) fn peers(generic: &Socket, interface: u32) -> io::Result<WireGuardPeers> {
    const GET_FAMILY: [u8; HEADER] = [3, 1, 0, 0];
    const GET_DEVICE: [u8; HEADER] = [0, 1, 0, 0];
    let family = generic.ask(
        CONTROLLER,
        &Body::new(&GET_FAMILY).attribute(2, b"wireguard\0"),
    )?;
    let family = Attributes::after(&family.body, HEADER)
        .bytes(1)
        .and_then(|id| u16_at(id, 0));
    let family = family.ok_or(io::ErrorKind::NotFound)?;
    let device = Body::new(&GET_DEVICE).attribute(1, &interface.to_ne_bytes());
    let messages = generic.dump(family, &device)?;
    Ok(parse(
        messages.iter().filter(|message| message.kind == family),
    ))
}

fn parse<'a>(messages: impl Iterator<Item = &'a Message>) -> WireGuardPeers {
    let mut found = WireGuardPeers::default();
    for message in messages {
        let attributes = Attributes::after(&message.body, HEADER);
        found.mark = attributes.u32(7).unwrap_or(found.mark);
        for (_, peer) in attributes.nested(8).iter() {
            let end = Attributes::after(peer, 0).bytes(4);
            let end = end.and_then(socket_address);
            found.remotes.extend(end.map(|end| end.ip()));
        }
    }

    found.remotes.sort();
    found.remotes.dedup();
    found
}

/// Reads a `struct sockaddr_in` or `struct sockaddr_in6`.
fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let octets = match u16_at(bytes, 0)? {
        2 => bytes.get(4..8)?,
        10 => bytes.get(8..24)?,
        _ => return None,
    };
    Some(SocketAddr::new(address(octets)?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a message with one peer.
    fn message(end: &[u8], mark: u32) -> Message {
        let peer = Body::default().attribute(1, &[1; 32]).attribute(4, end);
        let peers = Body::default().attribute(0x8000, peer.bytes());
        let body = Body::new(&[0, 1, 0, 0])
            .attribute(7, &mark.to_ne_bytes())
            .attribute(0x8008, peers.bytes());
        Message {
            kind: 30,
            flags: 0,
            sequence: 1,
            body: body.bytes().to_vec(),
        }
    }

    #[test]
    fn peers_are_read_from_all_messages_of_a_list() {
        let v4 = [2, 0, 0x1f, 0x90, 10, 0, 3, 100, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut v6 = vec![10, 0, 0x1f, 0x90, 0, 0, 0, 0];
        v6.extend(
            "2001:db8::1"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .octets(),
        );
        v6.extend([0; 4]);

        let remotes = ["10.0.3.100", "2001:db8::1"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let found = parse([message(&v4, 0xca6c), message(&v6, 0xca6c)].iter());

        assert_eq!(
            found,
            WireGuardPeers {
                mark: 0xca6c,
                remotes
            }
        );
    }
}
