//! Routes, next-hop objects and rules of one namespace: all tables, both families.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::wire::{Attributes, Body, Message, address, u16_at, u32_at};

pub(super) const GET_ROUTE: u16 = 26;
pub(super) const GET_RULE: u16 = 34;
pub(super) const GET_NEXT_HOP: u16 = 106;
pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;
/// Tables that rules lead to in a kernel without policy routing: default, main and local.
pub(super) const USUAL_TABLES: [u32; 3] = [253, 254, 255];

const NEW_ROUTE: u16 = 24;
const NEW_RULE: u16 = 32;
const NEW_NEXT_HOP: u16 = 104;
const UNICAST: u8 = 1;
const CACHED: u32 = 0x200;
const TO_TABLE: u8 = 1;

/// A unicast route: packets can leave by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) destination: IpAddr,
    /// Length of the destination's prefix in bits; 0 for the default route.
    pub(super) length: u8,
    pub(super) table: u32,
    /// Whether packets go to a router.
    pub(super) has_gateway: bool,
    /// Interfaces that packets leave by.
    pub(super) interfaces: Vec<u32>,
    /// Id of the route's next-hop object.
    pub(super) next_hop: Option<u32>,
}

/// A next-hop object: one next hop, or a group of other objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NextHop {
    pub(super) id: u32,
    pub(super) interface: Option<u32>,
    pub(super) has_gateway: bool,
    pub(super) group: Vec<u32>,
}

/// A lookup of the route to an address (`RTM_GETROUTE`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RouteLookup {
    pub(super) destination: IpAddr,
    /// Address of this host that the packets are sent from.
    pub(super) source: Option<IpAddr>,
    pub(super) mark: u32,
    /// Interface that the packets are bound to.
    pub(super) interface: Option<u32>,
}

impl Route {
    pub(super) fn parse(message: &Message) -> Option<Self> {
        let body = &message.body;
        let family = *body.first()?;
        let length = *body.get(1)?;
        let table = *body.get(4)?;
        let kind = *body.get(7)?;
        let is_cached = u32_at(body, 8)? & CACHED != 0;
        if message.kind != NEW_ROUTE || kind != UNICAST || is_cached {
            return None;
        }
        let any = match family {
            IPV4 => IpAddr::from([0; 4]),
            IPV6 => IpAddr::from([0; 16]),
            _ => return None,
        };
        let attributes = Attributes::after(body, 12);
        let destination = match attributes.bytes(1) {
            Some(bytes) => destination(bytes)?,
            None => any,
        };
        let mut interfaces: Vec<u32> = attributes.u32(4).into_iter().collect();
        let mut has_gateway = is_gateway(attributes);
        for hop in hops(attributes.bytes(9).unwrap_or_default()) {
            interfaces.push(hop.interface);
            has_gateway |= hop.has_gateway;
        }

        Some(Self {
            destination,
            length,
            table: attributes.u32(15).unwrap_or(table.into()),
            has_gateway,
            interfaces,
            next_hop: attributes.u32(30),
        })
    }

    /// Adds the interfaces and gateways of the route's next-hop object.
    pub(super) fn resolve(mut self, hops: &BTreeMap<u32, NextHop>) -> Self {
        let Some(hop) = self.next_hop.and_then(|id| hops.get(&id)) else {
            return self;
        };
        let members = hop.group.iter().filter_map(|id| hops.get(id));
        for hop in members.chain([hop]) {
            self.interfaces.extend(hop.interface);
            self.has_gateway |= hop.has_gateway;
        }

        self.interfaces.sort_unstable();
        self.interfaces.dedup();
        self
    }

    /// Returns whether the route leads to a large part of the Internet, so that it can be a part of
    /// a default route.
    ///
    /// Those are IPv4 prefixes shorter than /8 and IPv6 prefixes shorter than /7: `2000::/3` is the
    /// whole IPv6 Internet, and `fc00::/7` is private.
    pub(super) fn is_wide(&self) -> bool {
        let shortest_narrow = if self.destination.is_ipv4() { 8 } else { 7 };
        self.length < shortest_narrow
    }

    /// Returns whether the route is link-local: within `169.254.0.0/16` or `fe80::/10`.
    pub(super) fn is_link_local(&self) -> bool {
        match self.destination {
            IpAddr::V4(address) => address.is_link_local() && self.length >= 16,
            IpAddr::V6(address) => address.is_unicast_link_local() && self.length >= 10,
        }
    }

    /// Returns the destination as text: `10.0.0.0/8`.
    pub(super) fn destination(&self) -> String {
        format!("{}/{}", self.destination, self.length)
    }
}

/// Reads a destination. Unlike other addresses, an IPv4-mapped IPv6 address stays IPv6.
fn destination(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(octets.into());
    }
    Some(<[u8; 16]>::try_from(bytes).ok()?.into())
}

fn is_gateway(attributes: Attributes<'_>) -> bool {
    const GATEWAY: u16 = 5;
    const VIA: u16 = 18;
    attributes
        .iter()
        .any(|(kind, _)| matches!(kind, GATEWAY | VIA))
}

/// A next hop of a multipath route.
struct Hop {
    interface: u32,
    has_gateway: bool,
}

/// Reads the next hops of a multipath route (`RTA_MULTIPATH`).
fn hops(mut bytes: &[u8]) -> Vec<Hop> {
    let mut hops = Vec::new();
    while let Some(length) = u16_at(bytes, 0).map(usize::from)
        && let Some(hop) = bytes.get(..length)
        && let Some(interface) = u32_at(hop, 4)
    {
        hops.push(Hop {
            interface,
            has_gateway: is_gateway(Attributes::after(hop, 8)),
        });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }

    hops
}

impl NextHop {
    pub(super) fn parse(message: &Message) -> Option<Self> {
        if message.kind != NEW_NEXT_HOP {
            return None;
        }
        let attributes = Attributes::after(&message.body, 8);
        let gateway = attributes.bytes(6).and_then(address);
        let members = attributes.bytes(2).unwrap_or_default().chunks_exact(8);
        Some(Self {
            id: attributes.u32(1)?,
            interface: attributes.u32(5),
            has_gateway: gateway.is_some(),
            group: members.filter_map(|member| u32_at(member, 0)).collect(),
        })
    }
}

/// Parses a rule, and returns the table that it leads to.
pub(super) fn parse_rule(message: &Message) -> Option<u32> {
    let body = &message.body;
    if message.kind != NEW_RULE || body.get(7) != Some(&TO_TABLE) {
        return None;
    }
    let table = Attributes::after(body, 12)
        .u32(15)
        .or_else(|| body.get(4).map(|table| (*table).into()));
    table.filter(|table| *table != 0)
}

/// Returns the request body for all routes or rules of a family.
pub(super) fn request(family: u8) -> Body {
    let mut header = [0; 12];
    header[0] = family;
    Body::new(&header)
}

impl RouteLookup {
    /// Makes a lookup without a mark and without a bound interface.
    pub(super) fn new(destination: IpAddr, source: Option<IpAddr>) -> Self {
        Self {
            destination,
            source,
            mark: 0,
            interface: None,
        }
    }

    pub(super) fn request(&self) -> Body {
        let (family, length) = match self.destination {
            IpAddr::V4(_) => (IPV4, 32),
            IpAddr::V6(_) => (IPV6, 128),
        };
        let mut header = [0; 12];
        header[0] = family;
        header[1] = length;
        let mut body = Body::new(&header).address(1, self.destination);
        if let Some(source) = self.source {
            body = body.address(2, source);
        }
        if let Some(interface) = self.interface {
            body = body.attribute(4, &interface.to_ne_bytes());
        }
        if self.mark != 0 {
            body = body.attribute(16, &self.mark.to_ne_bytes());
        }
        body
    }

    /// Parses the kernel's answer, and returns the interface that packets leave by.
    pub(super) fn parse_answer(message: &Message) -> Option<u32> {
        if message.kind != NEW_ROUTE {
            return None;
        }
        Attributes::after(&message.body, 12).u32(4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a route of the main table as the kernel describes it.
    fn message(family: u8, length: u8, kind: u8, attributes: &Body) -> Message {
        let mut body = vec![family, length, 0, 0, 254, 3, 0, kind, 0, 0, 0, 0];
        body.extend(attributes.bytes());
        Message {
            kind: NEW_ROUTE,
            flags: 2,
            sequence: 1,
            body,
        }
    }

    fn outgoing(interface: u32) -> Body {
        Body::default().attribute(4, &interface.to_ne_bytes())
    }

    #[test]
    fn default_route_of_another_table_is_read() {
        let attributes = outgoing(2)
            .attribute(15, &1000_u32.to_ne_bytes())
            .attribute(5, &[10, 0, 3, 1]);
        let route = Route::parse(&message(IPV4, 0, UNICAST, &attributes)).unwrap();
        let expected = Route {
            destination: IpAddr::from([0; 4]),
            length: 0,
            table: 1000,
            has_gateway: true,
            interfaces: vec![2],
            next_hop: None,
        };
        assert_eq!(route, expected);
    }

    #[test]
    fn next_hops_of_a_multipath_route_are_read() {
        let mut hops = Vec::new();
        for interface in [2_u32, 5] {
            let gateway = Body::default().attribute(5, &[10, 0, 3, 1]);
            hops.extend((8 + gateway.bytes().len() as u16).to_ne_bytes());
            hops.extend([0, 0]);
            hops.extend(interface.to_ne_bytes());
            hops.extend(gateway.bytes());
        }

        let attributes = Body::default().attribute(9, &hops);
        let route = Route::parse(&message(IPV4, 0, UNICAST, &attributes)).unwrap();

        assert_eq!((route.interfaces, route.has_gateway), (vec![2, 5], true));
    }

    fn hop(id: u32, interface: Option<u32>, group: Vec<u32>) -> NextHop {
        NextHop {
            id,
            interface,
            has_gateway: true,
            group,
        }
    }

    #[test]
    fn next_hop_object_of_a_group_gives_all_interfaces() {
        let hops = [
            hop(1, Some(2), vec![]),
            hop(2, Some(5), vec![]),
            hop(10, None, vec![1, 2]),
        ];
        let hops = hops.map(|hop| (hop.id, hop)).into();
        let attributes = Body::default().attribute(30, &10_u32.to_ne_bytes());
        let route = Route::parse(&message(IPV6, 0, UNICAST, &attributes))
            .unwrap()
            .resolve(&hops);

        assert_eq!((route.interfaces, route.has_gateway), (vec![2, 5], true));
    }

    #[test]
    fn next_hop_object_is_read_with_its_group() {
        let group = [10, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0];
        let body = Body::new(&[0; 8])
            .attribute(1, &3_u32.to_ne_bytes())
            .attribute(2, &group);
        let kind = NEW_NEXT_HOP;
        let message = Message {
            kind,
            flags: 2,
            sequence: 1,
            body: body.bytes().to_vec(),
        };
        let expected = NextHop {
            id: 3,
            group: vec![10, 11],
            ..NextHop::default()
        };

        assert_eq!(NextHop::parse(&message), Some(expected));
    }

    #[test]
    fn local_or_unreachable_route_is_ignored() {
        const UNREACHABLE: u8 = 7;
        const LOCAL: u8 = 2;
        for kind in [LOCAL, UNREACHABLE] {
            assert_eq!(Route::parse(&message(IPV6, 0, kind, &outgoing(1))), None);
        }
    }

    fn route(text: &str, length: u8) -> Route {
        Route {
            destination: text.parse().unwrap(),
            length,
            table: 254,
            has_gateway: false,
            interfaces: vec![2],
            next_hop: None,
        }
    }

    #[test]
    fn large_part_of_the_internet_is_wide() {
        for (text, length) in [
            ("0.0.0.0", 1),
            ("128.0.0.0", 1),
            ("8000::", 1),
            ("2000::", 3),
        ] {
            assert!(route(text, length).is_wide(), "{text}/{length}");
        }

        for (text, length) in [("10.0.0.0", 8), ("fc00::", 7), ("192.0.2.0", 24)] {
            assert!(!route(text, length).is_wide(), "{text}/{length}");
        }
        assert!(route("fe80::", 64).is_link_local() && route("169.254.0.0", 16).is_link_local());
    }

    fn rule(action: u8, table: u32) -> Option<u32> {
        let mut body = vec![IPV4, 0, 0, 0, 0, 0, 0, action, 0, 0, 0, 0];
        let attributes = Body::default().attribute(15, &table.to_ne_bytes());
        body.extend(attributes.bytes());
        parse_rule(&Message {
            kind: NEW_RULE,
            flags: 2,
            sequence: 1,
            body,
        })
    }

    #[test]
    fn rule_without_a_table_is_ignored() {
        assert_eq!(rule(TO_TABLE, 1000), Some(1000));
        assert_eq!(rule(TO_TABLE, 0), None);
        assert_eq!(rule(7, 1000), None);
    }
}
