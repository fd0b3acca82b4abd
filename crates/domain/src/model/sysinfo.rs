//! `<sysinfo>`: information about the machine that the guest reads from SMBIOS tables or from
//! QEMU's firmware configuration device.

use crate::xml::span::SourceSpan;
use crate::xml::text::{AbsolutePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The place of the information.
    pub enum SysinfoType {
        /// SMBIOS tables.
        Smbios = "smbios",
        /// The firmware configuration device (`fw_cfg`).
        Fwcfg = "fwcfg",
    }
}

/// `<sysinfo>`: information about the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sysinfo {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Place of the information.
    pub kind: Option<SysinfoType>,
    /// Information about the firmware (SMBIOS type 0).
    pub bios: Option<SysinfoTable>,
    /// Information about the machine (SMBIOS type 1).
    pub system: Option<SysinfoTable>,
    /// Information about the boards (SMBIOS type 2).
    pub base_boards: Vec<SysinfoTable>,
    /// Information about the chassis (SMBIOS type 3).
    pub chassis: Option<SysinfoTable>,
    /// Strings of the vendor (SMBIOS type 11).
    pub oem_strings: Option<OemStrings>,
    /// Values of the configuration device.
    pub entries: Vec<FwcfgEntry>,
}

/// An SMBIOS table: names and values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SysinfoTable {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Entries, in the order of the document.
    pub entries: Vec<SysinfoEntry>,
}

impl SysinfoTable {
    /// Returns the value of an entry. The value may be empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.name.as_deref() == Some(name))?;
        Some(entry.value.as_deref().unwrap_or_default())
    }
}

/// `<entry>` of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SysinfoEntry {
    /// Name of the entry.
    pub name: Option<String>,
    /// Value of the entry.
    pub value: Option<String>,
}

/// `<oemStrings>`: strings of the vendor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OemStrings {
    /// The strings.
    pub entries: Vec<OemString>,
}

/// `<entry>` of `<oemStrings>`: one string of the vendor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OemString {
    /// The string.
    pub text: Option<String>,
}

/// `<entry>` of `<sysinfo type='fwcfg'>`: a value or a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FwcfgEntry {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Name of the value, such as `opt/org.example/name`.
    pub name: Option<String>,
    /// Path of a file with the value.
    pub file: Option<String>,
    /// The value itself.
    pub value: Option<String>,
}

impl Element for Sysinfo {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("type", &mut self.kind);
        v.child("bios", &mut self.bios);
        v.child("system", &mut self.system);
        v.children("baseBoard", &mut self.base_boards);
        v.child("chassis", &mut self.chassis);
        v.child("oemStrings", &mut self.oem_strings);
        v.children("entry", &mut self.entries);
        if self.kind.is_none() {
            v.error("<sysinfo> needs the attribute 'type'".into());
        }
        if v.reading() {
            self.check(v);
        }
    }
}

impl Sysinfo {
    fn check(&self, v: &mut dyn Visitor) {
        let tables = [
            ("bios", self.bios.as_slice(), BIOS),
            ("system", self.system.as_slice(), SYSTEM),
            ("baseBoard", &self.base_boards, BASE_BOARD),
            ("chassis", self.chassis.as_slice(), CHASSIS),
        ];
        for (table, entries, known) in tables {
            for name in entries
                .iter()
                .flat_map(|t| &t.entries)
                .filter_map(|entry| entry.name.as_deref())
            {
                if !known.contains(&name) {
                    let expected = crate::xml::value::expected_one_of(name, known.iter().copied());
                    v.error(format!(
                        "<{table}> of <sysinfo> has no entry '{name}': {expected}"
                    ));
                }
            }
        }

        let tables = self.bios.is_some()
            || self.system.is_some()
            || !self.base_boards.is_empty()
            || self.chassis.is_some()
            || self.oem_strings.is_some();
        match self.kind {
            Some(SysinfoType::Smbios) if !self.entries.is_empty() => {
                v.error("an <entry> directly in <sysinfo> is for type 'fwcfg' only".into());
            }
            Some(SysinfoType::Fwcfg) if tables => {
                v.error("tables of <sysinfo> are for type 'smbios' only".into());
            }
            _ => {}
        }
    }
}

const BIOS: &[&str] = &["vendor", "version", "date", "release"];
const SYSTEM: &[&str] = &[
    "manufacturer",
    "product",
    "version",
    "serial",
    "uuid",
    "sku",
    "family",
];
const BASE_BOARD: &[&str] = &[
    "manufacturer",
    "product",
    "version",
    "serial",
    "asset",
    "location",
];
const CHASSIS: &[&str] = &["manufacturer", "version", "serial", "asset", "sku"];

impl Element for SysinfoTable {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.children("entry", &mut self.entries);
    }
}

impl Element for SysinfoEntry {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.text(&mut self.value);
        if self.name.is_none() {
            v.error("<entry> needs the attribute 'name'".into());
        }
    }
}

impl Element for OemStrings {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("entry", &mut self.entries);
    }
}

impl Element for OemString {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.text(&mut self.text);
    }
}

impl Element for FwcfgEntry {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("name", &mut self.name);
        visit_as::<AbsolutePath>(&mut self.file, |path| v.attr("file", path));
        v.text(&mut self.value);
        match &self.name {
            None => v.error("<entry> of <sysinfo type='fwcfg'> needs the attribute 'name'".into()),
            Some(name) if !name.starts_with("opt/") => {
                v.error(format!(
                    "the name '{name}' of <entry> must begin with 'opt/'"
                ));
            }
            Some(name) if RESERVED.iter().any(|reserved| name.starts_with(reserved)) => {
                v.error(format!(
                    "the name '{name}' of <entry> is reserved for the emulator and its firmware"
                ));
            }
            Some(_) if self.file.is_some() == self.value.is_some() => {
                v.error(
                    "<entry> of <sysinfo type='fwcfg'> needs either a value or a 'file'".into(),
                );
            }
            Some(_) => {}
        }
    }
}

/// Prefixes of names that are reserved for the emulator and its firmware.
const RESERVED: &[&str] = &["opt/ovmf/", "opt/org.qemu/", "opt/org.seabios/"];
