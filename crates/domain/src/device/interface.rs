//! `<interface>`: a network interface.

use super::Info;
use crate::xml::value::{value_by_display, words};
use crate::xml::{Element, Visitor};
use std::fmt;
use std::str::FromStr;

words! {
    /// What a network interface is connected to.
    pub enum InterfaceType {
        /// A network within the emulator (SLIRP), which needs no privileges.
        User = "user",
    }
}

words! {
    /// Model of a network card.
    pub enum InterfaceModel {
        /// virtio-net.
        Virtio = "virtio",
        /// Intel 82540EM.
        E1000 = "e1000",
        /// Intel 82574L.
        E1000e = "e1000e",
        /// Intel 82576.
        Igb = "igb",
        /// Realtek RTL8139.
        Rtl8139 = "rtl8139",
    }
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interface {
    /// Alias and address.
    pub info: Info,
    /// What it is connected to.
    pub kind: Option<InterfaceType>,
    /// Hardware address; `complete` derives one from the guest's identity when absent.
    pub mac: Option<Mac>,
    /// Model of the card.
    pub model: Option<InterfaceModel>,
}

/// A hardware address of an Ethernet card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected six bytes, as in 52:54:00:12:34:56";
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| matches!(p.len(), 1 | 2)).ok_or(EXPECTED)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| EXPECTED)?;
        }
        match (parts.next(), bytes[0] & 1) {
            (None, 0) => Ok(Self(bytes)),
            (None, _) => Err("this is a multicast address; a card needs a unicast one"),
            _ => Err(EXPECTED),
        }
    }
}

value_by_display!(Mac);

impl Element for Interface {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("type", &mut self.kind);
        v.child_word("mac", "address", &mut self.mac);
        v.child_word("model", "type", &mut self.model);
        self.info.visit_with_rom(v);
        if self.kind.is_none() {
            v.error("<interface> needs the attribute 'type'".into());
        }
    }
}
