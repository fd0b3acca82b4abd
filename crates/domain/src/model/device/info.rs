//! Common elements of devices: alias, address, boot order, and settings of PCI devices.

use super::address::{Address, ChosenUsbParts};
use crate::model::idset::IdSet;
use crate::xml::span::SourceSpan;
use crate::xml::{Element, Visitor};

/// The alias, the address and other common elements of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// Source position of the device's element.
    pub span: SourceSpan,
    /// Position in the boot order.
    pub boot: Option<Boot>,
    /// `<alias name=…/>`: the device's id. Only an alias that begins with `ua-` is read and
    /// written; `complete` chooses the others.
    pub alias: Option<String>,
    /// Option ROM of a PCI device.
    pub rom: Option<Rom>,
    /// ACPI information about a PCI device.
    pub acpi: Option<Acpi>,
    /// Address within the guest.
    pub address: Option<Address>,
}

/// `<boot>` of a device: the position in the boot order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Boot {
    /// Position, from 1.
    pub order: u32,
    /// Parameter of the boot loader (Z): up to eight letters, digits, dots and spaces.
    pub loadparm: Option<String>,
}

/// `<rom>`: the option ROM of a PCI device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rom {
    /// Presence of the ROM.
    pub enabled: Option<bool>,
    /// Mapping of the ROM into the guest's memory.
    pub bar: Option<bool>,
    /// Path of a file with the ROM. An empty path is an old spelling of `enabled='no'`.
    pub file: Option<String>,
}

/// `<acpi>` of a device: ACPI information about a PCI device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acpi {
    /// Number by which the guest's system names the device (`acpi-index`).
    pub index: Option<u32>,
    /// NUMA nodes that the device provides (`acpi-generic-initiator`).
    pub nodeset: Option<IdSet>,
}

impl Info {
    /// Returns the alias, or an empty text before `complete`.
    pub fn id(&self) -> &str {
        self.alias.as_deref().unwrap_or_default()
    }

    /// Returns the position in the boot order, from 1.
    pub fn boot_order(&self) -> Option<u32> {
        self.boot.as_ref().map(|boot| boot.order)
    }

    /// Visits the elements of every device.
    pub(crate) fn visit(&mut self, v: &mut dyn Visitor) {
        self.visit_alias(v);
        self.visit_address(v);
    }

    /// Visits the elements of a device that the guest can boot from.
    pub(crate) fn visit_bootable(&mut self, v: &mut dyn Visitor) {
        v.child("boot", &mut self.boot);
        self.visit(v);
    }

    /// Visits the elements of a bootable PCI device, which can have an option ROM.
    pub(crate) fn visit_with_rom(&mut self, v: &mut dyn Visitor) {
        v.child("boot", &mut self.boot);
        self.visit_alias(v);
        v.child("rom", &mut self.rom);
        self.visit_address(v);
    }

    /// Visits the alias. Only the user's own begin with `ua-`. The others are those of a running
    /// guest. In another document, libvirt ignores them as well (`virDomainDeviceInfoParseXML`).
    fn visit_alias(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        if v.is_running() {
            v.child_word("alias", "name", &mut self.alias);
            return;
        }

        let mut alias = self.alias.take().filter(|alias| is_user_alias(alias));
        v.child_word("alias", "name", &mut alias);
        self.alias = alias.filter(|alias| is_user_alias(alias));
    }

    fn visit_address(&mut self, v: &mut dyn Visitor) {
        v.child("acpi", &mut self.acpi);
        if v.reading() || v.is_running() || !self.has_chosen_port() {
            v.child("address", &mut self.address);
        }
    }

    /// Returns whether `complete` chose bus and port of a USB address. libvirt does not write such
    /// an address either.
    const fn has_chosen_port(&self) -> bool {
        match &self.address {
            Some(Address::Usb(usb)) => matches!(usb.chosen, ChosenUsbParts::BusAndPort),
            _ => false,
        }
    }
}

/// Returns whether an alias is the user's own choice.
fn is_user_alias(alias: &str) -> bool {
    alias.starts_with("ua-")
}

impl Element for Boot {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("order", &mut self.order);
        v.attr("loadparm", &mut self.loadparm);
        if let Some(text) = self.loadparm.as_deref().filter(|text| !is_loadparm(text)) {
            v.error(format!(
                "loadparm '{}' is not valid: expected one to eight of A-Z, a-z, 0-9, '.' and space",
                text.escape_debug()
            ));
        }
    }
}

fn is_loadparm(text: &str) -> bool {
    let mut bytes = text.bytes();
    (1..=8).contains(&text.len())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b' '))
}

impl Element for Rom {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("enabled", &mut self.enabled);
        v.on_off("bar", &mut self.bar);
        v.attr("file", &mut self.file);
    }
}

impl Element for Acpi {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("index", &mut self.index);
        v.attr("nodeset", &mut self.nodeset);
    }
}
