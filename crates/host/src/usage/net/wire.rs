//! The encoding of netlink messages, without any I/O.
//!
//! Unknown attributes are ignored, since kernels add new ones. A truncated message is an error.

use std::io;
use std::net::IpAddr;

pub(super) const FLAG_REQUEST: u16 = 0x1;
pub(super) const FLAG_DUMP: u16 = 0x300;
/// The kernel's tables changed while it listed them (`NLM_F_DUMP_INTR`).
pub(super) const FLAG_INTERRUPTED: u16 = 0x10;
pub(super) const KIND_ERROR: u16 = 2;
pub(super) const KIND_DONE: u16 = 3;

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// Mask of an attribute's kind. The other bits mark nested attributes and network byte order.
const ATTRIBUTE_KIND: u16 = 0x3fff;

/// A message from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: Vec<u8>,
}

/// The body of a request: a fixed header and attributes.
#[derive(Clone, Debug, Default)]
pub(super) struct Body(Vec<u8>);

/// Attributes of a message, or those nested in one attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a>(&'a [u8]);

impl Body {
    pub(super) fn new(header: &[u8]) -> Self {
        Self(header.to_vec())
    }

    /// Adds an attribute, padded to 4 bytes.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (ATTRIBUTE_HEADER + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds an attribute with the bytes of an IP address.
    pub(super) fn address(self, kind: u16, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.attribute(kind, &address.octets()),
            IpAddr::V6(address) => self.attribute(kind, &address.octets()),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Encodes the whole request: the netlink header and the body.
    pub(super) fn request(&self, kind: u16, flags: u16, sequence: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.0.len());
        bytes.extend(((HEADER + self.0.len()) as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((FLAG_REQUEST | flags).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]); // the port: the kernel fills it in
        bytes.extend(&self.0);
        bytes
    }
}

impl<'a> Attributes<'a> {
    /// Returns the attributes behind a fixed header of `header` bytes.
    pub(super) fn after(body: &'a [u8], header: usize) -> Self {
        Self(body.get(header.next_multiple_of(4)..).unwrap_or_default())
    }

    pub(super) fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let length = usize::from(u16_at(rest, 0)?);
            let kind = u16_at(rest, 2)? & ATTRIBUTE_KIND;
            let value = rest.get(ATTRIBUTE_HEADER..length)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, value))
        })
    }

    pub(super) fn bytes(self, kind: u16) -> Option<&'a [u8]> {
        self.iter()
            .find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// Returns the attributes nested in an attribute; none if that attribute is absent.
    pub(super) fn nested(self, kind: u16) -> Self {
        Self(self.bytes(kind).unwrap_or_default())
    }

    pub(super) fn u32(self, kind: u16) -> Option<u32> {
        u32_at(self.bytes(kind)?, 0)
    }

    pub(super) fn text(self, kind: u16) -> Option<String> {
        let bytes = self.bytes(kind)?;
        let end = bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    pub(super) fn address(self, kind: u16) -> Option<IpAddr> {
        address(self.bytes(kind)?)
    }
}

/// Decodes the messages of one datagram.
///
/// # Errors
/// If a message is truncated, then `InvalidData`.
pub(super) fn messages(mut bytes: &[u8]) -> io::Result<Vec<Message>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let message = message(bytes).ok_or_else(cut_off)?;
        let length = HEADER + message.body.len();
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        messages.push(message);
    }

    Ok(messages)
}

fn message(bytes: &[u8]) -> Option<Message> {
    let length = u32_at(bytes, 0)? as usize;
    Some(Message {
        kind: u16_at(bytes, 4)?,
        flags: u16_at(bytes, 6)?,
        sequence: u32_at(bytes, 8)?,
        body: bytes.get(HEADER..length)?.to_vec(),
    })
}

pub(super) fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is cut off")
}

/// Reads an IP address of 4 or 16 bytes. An IPv4-mapped IPv6 address becomes an IPv4 address.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(octets));
    }
    Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical())
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..offset + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_message_is_decoded_with_its_attributes() {
        let body = Body::new(&[7; 12])
            .attribute(3, b"eth0\0")
            .attribute(0x8000 | 5, &9_u32.to_ne_bytes());
        let mut bytes = body.request(24, FLAG_DUMP, 5);
        bytes.extend(Body::new(&[]).request(KIND_DONE, 0, 5));
        let messages = messages(&bytes).unwrap();
        let kinds: Vec<u16> = messages.iter().map(|message| message.kind).collect();

        assert_eq!(kinds, [24, KIND_DONE]);
        assert_eq!(messages[0].flags, FLAG_DUMP | FLAG_REQUEST);
        assert_eq!(messages[0].sequence, 5);

        let attributes = Attributes::after(&messages[0].body, 12);
        assert_eq!(attributes.text(3).as_deref(), Some("eth0"));
        assert_eq!(attributes.u32(5), Some(9));
        assert_eq!(attributes.bytes(4), None);
    }

    #[test]
    fn truncated_message_is_an_error() {
        let whole = Body::new(&[1; 8]).request(24, 0, 1);
        for length in 1..whole.len() {
            assert!(messages(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn attribute_with_a_wrong_length_ends_the_list() {
        for length in [0_u16, 3, 9, u16::MAX] {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend([1, 0, 0, 0, 0, 0]);
            assert_eq!(Attributes::after(&bytes, 0).iter().count(), 0, "{length}");
        }
    }

    #[test]
    fn mapped_address_is_an_ipv4_address() {
        let mapped = "::ffff:10.0.3.100".parse::<std::net::Ipv6Addr>().unwrap();
        assert_eq!(
            address(&mapped.octets()),
            Some("10.0.3.100".parse().unwrap())
        );
        assert_eq!(address(&[1, 2, 3]), None);
    }
}
