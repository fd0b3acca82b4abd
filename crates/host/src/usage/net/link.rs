//! Links: the network interfaces of one namespace, with the interfaces that each is made of.

use std::net::IpAddr;

use super::wire::{Attributes, Body, Message, u16_at, u32_at};

pub(super) const GET: u16 = 18;
const NEW: u16 = 16;
const HEADER: usize = 16;
const ATTRIBUTE_MASK: u16 = 29;
const SKIP_STATISTICS: u32 = 8;
const FLAG_UP: u32 = 0x1;
const FLAG_LOOPBACK: u32 = 0x8;
const OPERATIONAL_UP: u8 = 6;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) is_loopback: bool,
    /// Whether the interface is administratively up (`IFF_UP`).
    pub(super) is_up: bool,
    /// Whether the interface can pass packets (`IF_OPER_UP`).
    pub(super) is_running: bool,
    /// Kind of a virtual interface: `bond`, `vlan`, `vxlan`, …
    pub(super) kind: String,
    /// Index of the bond, bridge or VRF that has this interface as a port (`IFLA_MASTER`).
    pub(super) master: Option<u32>,
    /// Index of the interface below, or of the peer (`IFLA_LINK`).
    pub(super) below: Option<u32>,
    /// Number of the namespace of `below` and of a tunnel's outer packets, if that is another
    /// namespace.
    pub(super) below_namespace: Option<u32>,
    /// Bus and name of the interface's device in sysfs: (`pci`, `0000:01:00.0`),
    /// (`virtio`, `virtio0`).
    pub(super) parent: Option<(String, String)>,
    /// Routing table of a VRF.
    pub(super) vrf_table: Option<u32>,
    pub(super) tunnel: Tunnel,
}

/// The ends of a tunnel's outer packets, as far as the link reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tunnel {
    pub(super) local: Option<IpAddr>,
    pub(super) remote: Option<IpAddr>,
    /// Index of the interface that the outer packets are bound to.
    pub(super) link: Option<u32>,
    /// Whether each packet brings a remote end of its own (`external`, collect metadata).
    pub(super) is_external: bool,
}

/// Numbers of a tunnel's attributes below `IFLA_INFO_DATA`; 0 if the kind lacks the attribute.
struct TunnelAttributes {
    link: u16,
    local: [u16; 2],
    remote: [u16; 2],
    external: u16,
}

/// Returns the request body for all links.
pub(super) fn request() -> Body {
    Body::new(&[0; HEADER]).attribute(ATTRIBUTE_MASK, &SKIP_STATISTICS.to_ne_bytes())
}

impl Link {
    pub(super) fn parse(message: &Message) -> Option<Self> {
        if message.kind != NEW {
            return None;
        }
        let flags = u32_at(&message.body, 8)?;
        let attributes = Attributes::after(&message.body, HEADER);
        let info = attributes.nested(18);
        let data = info.nested(2);
        let kind = info.text(1).unwrap_or_default();
        Some(Self {
            index: u32_at(&message.body, 4)?,
            name: attributes.text(3)?,
            is_loopback: flags & FLAG_LOOPBACK != 0,
            is_up: flags & FLAG_UP != 0,
            is_running: attributes.bytes(16) == Some(&[OPERATIONAL_UP]),
            master: attributes.u32(10),
            below: attributes.u32(5).filter(|index| *index != 0),
            below_namespace: attributes.u32(37),
            parent: attributes.text(57).zip(attributes.text(56)),
            vrf_table: data.u32(1).filter(|_| kind == "vrf"),
            tunnel: tunnel(&kind, data),
            kind,
        })
    }

    /// Returns whether the interface is a tunnel: its packets travel inside of others.
    pub(super) fn is_tunnel(&self) -> bool {
        tunnel_attributes(&self.kind).is_some() || self.kind == "wireguard"
    }

    /// Returns whether the interface is a switch: it forwards packets between its ports.
    pub(super) fn is_switch(&self) -> bool {
        matches!(self.kind.as_str(), "bridge" | "openvswitch")
    }
}

fn tunnel(kind: &str, data: Attributes<'_>) -> Tunnel {
    let Some(numbers) = tunnel_attributes(kind) else {
        return Tunnel::default();
    };
    let link = data.u32(numbers.link);
    Tunnel {
        local: tunnel_address(data, numbers.local),
        remote: tunnel_address(data, numbers.remote),
        link: link.filter(|index| numbers.link != 0 && *index != 0),
        is_external: is_set(data.bytes(numbers.external)),
    }
}

/// Reads the first of two attributes (IPv4, IPv6) that has an address.
fn tunnel_address(data: Attributes<'_>, numbers: [u16; 2]) -> Option<IpAddr> {
    numbers
        .iter()
        .filter_map(|number| data.address(*number))
        .find(|address| !address.is_unspecified())
}

/// Reads a flag. The flag of vxlan is a byte with 0 or 1; other flags are set if they are present.
fn is_set(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| value.first() != Some(&0))
}

fn tunnel_attributes(kind: &str) -> Option<TunnelAttributes> {
    Some(match kind {
        "vxlan" => TunnelAttributes {
            link: 3,
            local: [4, 17],
            remote: [2, 16],
            external: 25,
        },
        "geneve" => TunnelAttributes {
            link: 0,
            local: [0, 0],
            remote: [2, 7],
            external: 6,
        },
        "gre" | "gretap" | "ip6gre" | "ip6gretap" | "erspan" | "ip6erspan" => TunnelAttributes {
            link: 1,
            local: [6, 0],
            remote: [7, 0],
            external: 18,
        },
        "ipip" | "sit" | "ip6tnl" => TunnelAttributes {
            link: 1,
            local: [2, 0],
            remote: [3, 0],
            external: 19,
        },
        "vti" | "vti6" => TunnelAttributes {
            link: 1,
            local: [4, 0],
            remote: [5, 0],
            external: 0,
        },
        _ => return None,
    })
}

/// Parses an address of an interface. Returns the interface's index and the address.
pub(super) fn parse_address(message: &Message) -> Option<(u32, IpAddr)> {
    const NEW_ADDRESS: u16 = 20;
    if message.kind != NEW_ADDRESS {
        return None;
    }
    let attributes = Attributes::after(&message.body, 8);
    // IFA_LOCAL, else IFA_ADDRESS: on a point-to-point link, the latter is the far end.
    let address = attributes.address(2).or_else(|| attributes.address(1))?;
    Some((u32_at(&message.body, 4)?, address))
}

/// Parses an entry of a vxlan's forwarding table. Returns the interface's index and a remote end.
pub(super) fn parse_forwarding(message: &Message) -> Option<(u32, IpAddr)> {
    const NEW_NEIGHBOUR: u16 = 28;
    const BRIDGE_FAMILY: u8 = 7;
    if message.kind != NEW_NEIGHBOUR || message.body.first() != Some(&BRIDGE_FAMILY) {
        return None;
    }
    let remote = Attributes::after(&message.body, 12).address(1)?;
    Some((u32_at(&message.body, 4)?, remote)).filter(|(_, remote)| !remote.is_unspecified())
}

/// Parses the number that a namespace has for another one (`RTM_NEWNSID`). Returns `None` for a
/// negative number, which means that there is none.
pub(super) fn parse_namespace_number(message: &Message) -> Option<u32> {
    const NEW_NUMBER: u16 = 88;
    let number = Attributes::after(&message.body, 1).u32(1)?;
    (message.kind == NEW_NUMBER && u16_at(&message.body, 0).is_some() && number as i32 >= 0)
        .then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a link as the kernel describes it.
    fn message(index: u32, flags: u32, attributes: &Body) -> Message {
        let mut body = vec![0; HEADER];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..12].copy_from_slice(&flags.to_ne_bytes());
        body.extend(attributes.bytes());
        Message {
            kind: NEW,
            flags: 2,
            sequence: 1,
            body,
        }
    }

    fn tunnel_of_kind(kind: &str, data: &Body) -> Body {
        let info = Body::default()
            .attribute(1, kind.as_bytes())
            .attribute(2, data.bytes());
        Body::default()
            .attribute(3, b"tunnel0\0")
            .attribute(18, info.bytes())
    }

    #[test]
    fn card_is_read_with_its_device() {
        let attributes = Body::default()
            .attribute(3, b"eth0\0")
            .attribute(10, &7_u32.to_ne_bytes());
        let attributes = attributes
            .attribute(16, &[OPERATIONAL_UP])
            .attribute(56, b"0000:01:00.0\0");
        let attributes = attributes.attribute(57, b"pci\0");
        let link = Link::parse(&message(2, 0x1003, &attributes)).unwrap();
        let expected = Link {
            index: 2,
            name: "eth0".into(),
            is_up: true,
            is_running: true,
            master: Some(7),
            parent: Some(("pci".into(), "0000:01:00.0".into())),
            ..Link::default()
        };

        assert_eq!(link, expected);
    }

    #[test]
    fn tunnel_of_each_kind_is_read_with_its_ends() {
        let local = [10, 0, 3, 15];
        let remote = [10, 0, 3, 100];
        for (kind, link, ends) in [
            ("vxlan", 3, (4, 2)),
            ("gre", 1, (6, 7)),
            ("gretap", 1, (6, 7)),
            ("ipip", 1, (2, 3)),
            ("sit", 1, (2, 3)),
            ("vti", 1, (4, 5)),
        ] {
            let data = Body::default().attribute(link, &2_u32.to_ne_bytes());
            let data = data.attribute(ends.0, &local).attribute(ends.1, &remote);
            let parsed = Link::parse(&message(9, 1, &tunnel_of_kind(kind, &data))).unwrap();
            let expected = Tunnel {
                local: Some(local.into()),
                remote: Some(remote.into()),
                link: Some(2),
                is_external: false,
            };
            assert_eq!(parsed.kind, kind);
            assert_eq!(parsed.tunnel, expected, "{kind}");
        }
    }

    fn is_external(kind: &str, data: Body) -> bool {
        let link = Link::parse(&message(9, 1, &tunnel_of_kind(kind, &data))).unwrap();
        link.tunnel.is_external
    }

    #[test]
    fn external_tunnel_differs_from_an_ordinary_one() {
        assert!(is_external("vxlan", Body::default().attribute(25, &[1])));
        assert!(!is_external("vxlan", Body::default().attribute(25, &[0])));
        assert!(is_external("geneve", Body::default().attribute(6, &[])));
        assert!(!is_external("gre", Body::default().attribute(7, &[0; 4])));
    }

    fn namespace_number(number: i32) -> Option<u32> {
        let body = Body::new(&[0; 4]).attribute(1, &number.to_ne_bytes());
        parse_namespace_number(&Message {
            kind: 88,
            flags: 0,
            sequence: 1,
            body: body.bytes().to_vec(),
        })
    }

    #[test]
    fn negative_namespace_number_is_none() {
        assert_eq!(namespace_number(4), Some(4));
        assert_eq!(namespace_number(-1), None);
    }
}
