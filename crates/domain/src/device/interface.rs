//! `<interface>`: a network interface.

use super::hostdev::InterfaceSource;
use super::teaming::Teaming;
use super::{Hostdev, Info};
use crate::xml::value::{value_by_display, words};
use crate::xml::{Element, Visitor};
use std::fmt;
use std::str::FromStr;

words! {
    /// What a network interface is connected to.
    pub enum InterfaceType {
        /// A network within the emulator (SLIRP), which needs no privileges.
        User = "user",
        /// A device of the host, given to the guest.
        Hostdev = "hostdev",
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
    /// Alias and address; those of [`Interface::hostdev`] count where there is one.
    pub info: Info,
    /// The device of the host that it is (type `hostdev`).
    pub hostdev: Option<Hostdev>,
    /// What it is connected to.
    pub kind: Option<InterfaceType>,
    /// Hardware address; `complete` derives one from the guest's identity when absent.
    pub mac: Option<Mac>,
    /// Model of the card.
    pub model: Option<InterfaceModel>,
    /// The card's part in a pair; a device of the host has its own.
    pub teaming: Option<Teaming>,
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

impl Interface {
    /// Returns alias and address.
    pub fn info(&self) -> &Info {
        self.hostdev.as_ref().map_or(&self.info, |hostdev| &hostdev.info)
    }

    /// Returns alias and address, to be changed.
    pub fn info_mut(&mut self) -> &mut Info {
        self.hostdev.as_mut().map_or(&mut self.info, |hostdev| &mut hostdev.info)
    }

    /// Returns the part in a pair.
    pub fn teaming(&self) -> Option<&Teaming> {
        self.hostdev.as_ref().map_or(&self.teaming, |hostdev| &hostdev.teaming).as_ref()
    }

    fn visit_hostdev<V: Visitor>(&mut self, v: &mut V) {
        if self.kind != Some(InterfaceType::Hostdev) {
            return;
        }
        let hostdev = self.hostdev.get_or_insert_default();
        v.yes_no("managed", &mut hostdev.managed);
        v.child("driver", &mut hostdev.driver);
        let mut source = (!v.reading()).then(|| InterfaceSource(hostdev.source.clone()));
        v.child("source", &mut source);
        match source {
            Some(InterfaceSource(source)) => hostdev.source = source,
            None => {
                v.error("<interface> of type 'hostdev' needs a <source> with the device's <address>".into())
            }
        }
    }
}

impl Element for Interface {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("type", &mut self.kind);
        v.child_word("mac", "address", &mut self.mac);
        self.visit_hostdev(v);
        v.child_word("model", "type", &mut self.model);
        match &mut self.hostdev {
            Some(hostdev) => v.child("teaming", &mut hostdev.teaming),
            None => v.child("teaming", &mut self.teaming),
        }
        self.info_mut().visit_with_rom(v);
        if self.kind.is_none() {
            v.error("<interface> needs the attribute 'type'".into());
        }
    }
}
