//! What every device has: an alias, an address within the guest, and what PCI devices can have
//! besides.

use super::address::{Address, ChosenUsbParts};
use crate::xml::span::SourceSpan;
use crate::xml::{Element, Visitor};

/// Alias and address of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// Where the device's element stands.
    pub span: SourceSpan,
    /// The device's part in the boot.
    pub boot: Option<Boot>,
    /// `<alias name=…/>`: the device's id. `complete` gives one to every device.
    pub alias: Option<String>,
    /// The option ROM of a PCI device.
    pub rom: Option<Rom>,
    /// What ACPI tells of a PCI device.
    pub acpi: Option<Acpi>,
    /// Where the device is within the guest.
    pub address: Option<Address>,
}

/// `<boot>` of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Boot {
    /// Place in the order of the boot, from 1.
    pub order: u32,
    /// What the loader is told (Z): up to eight letters and digits.
    pub loadparm: Option<String>,
}

/// `<rom>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rom {
    /// Whether the guest has it at all.
    pub enabled: Option<bool>,
    /// Whether it is in the guest's memory map.
    pub bar: Option<bool>,
    /// A file to take it from; an empty name is an old way to say that there is none.
    pub file: Option<String>,
}

/// `<acpi>` of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acpi {
    /// Number that names the device to the guest's system (`acpi-index`).
    pub index: Option<u32>,
    /// NUMA nodes that the device makes up (`acpi-generic-initiator`).
    pub nodeset: Option<crate::model::idset::IdSet>,
}

impl Info {
    /// Returns the alias; empty before `complete`.
    pub fn id(&self) -> &str {
        self.alias.as_deref().unwrap_or_default()
    }

    /// Returns the device's place in the order of the boot, from 1.
    pub fn boot_order(&self) -> Option<u32> {
        self.boot.as_ref().map(|boot| boot.order)
    }

    /// What every device has.
    pub(crate) fn visit(&mut self, v: &mut dyn Visitor) {
        self.visit_alias(v);
        self.visit_address(v);
    }

    /// The same for a device that the guest can boot from.
    pub(crate) fn visit_bootable(&mut self, v: &mut dyn Visitor) {
        v.child("boot", &mut self.boot);
        self.visit(v);
    }

    /// The same for a device that also can have an option ROM.
    pub(crate) fn visit_with_rom(&mut self, v: &mut dyn Visitor) {
        v.child("boot", &mut self.boot);
        self.visit_alias(v);
        v.child("rom", &mut self.rom);
        self.visit_address(v);
    }

    fn visit_alias(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        let mut alias = self.alias.take().filter(|alias| alias.starts_with("ua-"));
        v.child_word("alias", "name", &mut alias);
        self.alias = alias;
    }

    fn visit_address(&mut self, v: &mut dyn Visitor) {
        v.child("acpi", &mut self.acpi);
        if v.reading() || !self.has_chosen_port() {
            v.child("address", &mut self.address);
        }
    }

    /// Whether the address is a USB port of nobody's wish: libvirt does not write it down either.
    const fn has_chosen_port(&self) -> bool {
        matches!(&self.address, Some(Address::Usb(usb)) if matches!(usb.chosen, ChosenUsbParts::BusAndPort))
    }
}

impl Element for Boot {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("order", &mut self.order);
        v.attr("loadparm", &mut self.loadparm);
        let fits = |text: &str| (1..=8).contains(&text.len()) && text.bytes().all(is_loadparm);
        if let Some(text) = self.loadparm.as_deref().filter(|text| !fits(text)) {
            v.error(format!(
                "loadparm '{}' is not valid: expected one to eight of A-Z, a-z, 0-9, '.' and space",
                text.escape_debug()
            ));
        }
    }
}

const fn is_loadparm(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b' ')
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
