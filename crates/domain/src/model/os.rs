//! `<os>`: architecture, machine type, firmware, and what is booted.

use crate::model::firmware::{Firmware, FirmwareFeatures, Loader};
use crate::model::nvram::Nvram;
use crate::xml::span::SourceSpan;
use crate::xml::text::{AbsolutePath, FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Architecture of the guest's CPUs.
    pub enum Arch {
        /// 32-bit x86.
        I686 = "i686",
        /// 64-bit x86.
        X86_64 = "x86_64",
        /// 64-bit Arm.
        Aarch64 = "aarch64",
        /// IBM Z.
        S390x = "s390x",
    }
}

words! {
    /// Device classes in the order of the boot.
    pub enum BootDevice {
        /// Disks.
        Hd = "hd",
        /// CD-ROMs.
        Cdrom = "cdrom",
        /// Network interfaces.
        Network = "network",
        /// Floppy disks.
        Fd = "fd",
    }
}

/// `<os>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Os {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Firmware chosen by kind.
    pub firmware: Option<Firmware>,
    /// Architecture and machine.
    pub kind: OsType,
    /// What firmware is chosen by.
    pub features: Option<FirmwareFeatures>,
    /// A firmware file.
    pub loader: Option<Loader>,
    /// The firmware's variables.
    pub nvram: Option<Nvram>,
    /// A kernel booted directly.
    pub kernel: Option<String>,
    /// What is started before the kernel, on secure boot.
    pub shim: Option<String>,
    /// Its initial RAM disk.
    pub initrd: Option<String>,
    /// Its command line.
    pub cmdline: Option<String>,
    /// A device tree for it.
    pub dtb: Option<String>,
    /// Device classes in the order of the boot.
    pub boot: Vec<BootDevice>,
    /// The boot menu.
    pub bootmenu: Option<BootMenu>,
    /// Settings of the BIOS.
    pub bios: Option<Bios>,
    /// Where SMBIOS tables come from.
    pub smbios: Option<SmbiosMode>,
    /// Tables that are added to those of ACPI.
    pub acpi: Option<AcpiTables>,
}

words! {
    /// Where SMBIOS tables come from.
    pub enum SmbiosMode {
        /// The emulator.
        Emulate = "emulate",
        /// The host.
        Host = "host",
        /// `<sysinfo>`.
        Sysinfo = "sysinfo",
    }
}

/// `<bios>` of `<os>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bios {
    /// Whether the BIOS writes to the serial port.
    pub useserial: Option<bool>,
    /// Milliseconds before the boot is tried again; -1 is never.
    pub reboot_timeout: Option<RebootTimeout>,
}

/// Milliseconds before the boot is tried again, to 65535; -1 is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebootTimeout(pub i32);

impl std::fmt::Display for RebootTimeout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for RebootTimeout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = text.parse().ok().filter(|n| (-1..=65535).contains(n));
        fits.map(Self)
            .ok_or("expected a number from -1 (never) to 65535")
    }
}
crate::xml::value::value_by_display!(RebootTimeout);

/// `<acpi>` of `<os>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AcpiTables {
    /// The tables.
    pub tables: Vec<AcpiTable>,
}

words! {
    /// Kind of an ACPI table.
    pub enum AcpiTableType {
        /// One with its header as it is.
        Raw = "raw",
        /// Several, one after the other, as they are.
        Rawset = "rawset",
        /// A licence.
        Slic = "slic",
        /// A key of Windows.
        Msdm = "msdm",
    }
}

/// `<table>` of `<acpi>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AcpiTable {
    /// Kind.
    pub kind: Option<AcpiTableType>,
    /// Path of its file.
    pub path: Option<String>,
}

/// `<type>` of `<os>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OsType {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Architecture; the machine's own when absent.
    pub arch: Option<Arch>,
    /// Machine type; the emulator's default when absent.
    pub machine: Option<String>,
}

/// `<bootmenu>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BootMenu {
    /// Whether it is shown.
    pub enable: Option<bool>,
    /// For how many milliseconds.
    pub timeout: Option<u16>,
}

impl Element for Os {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("firmware", &mut self.firmware);
        let mut kind = (!v.reading()).then(|| self.kind.clone());
        v.child("type", &mut kind);
        match kind {
            Some(kind) => self.kind = kind,
            None => v.error("<os> needs a <type>".into()),
        }
        v.child("firmware", &mut self.features);
        v.child("loader", &mut self.loader);
        v.child("nvram", &mut self.nvram);
        visit_as::<FilePath>(&mut self.kernel, |path| v.leaf("kernel", path));
        visit_as::<FilePath>(&mut self.shim, |path| v.leaf("shim", path));
        visit_as::<FilePath>(&mut self.initrd, |path| v.leaf("initrd", path));
        v.leaf("cmdline", &mut self.cmdline);
        visit_as::<FilePath>(&mut self.dtb, |path| v.leaf("dtb", path));
        v.children_word("boot", "dev", &mut self.boot);
        v.child("bootmenu", &mut self.bootmenu);
        v.child("bios", &mut self.bios);
        v.child_word("smbios", "mode", &mut self.smbios);
        v.child("acpi", &mut self.acpi);
    }
}

impl Element for OsType {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("arch", &mut self.arch);
        v.attr("machine", &mut self.machine);
        let mut text = (!v.reading()).then(|| "hvm".to_owned());
        v.text(&mut text);
        if text.as_deref() != Some("hvm") {
            v.error("the text of <type> must be 'hvm' (a full virtual machine)".into());
        }
    }
}

impl Element for BootMenu {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("enable", &mut self.enable);
        v.attr("timeout", &mut self.timeout);
    }
}

impl Element for Bios {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("useserial", &mut self.useserial);
        v.attr("rebootTimeout", &mut self.reboot_timeout);
    }
}

impl Element for AcpiTables {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("table", &mut self.tables);
    }
}

impl Element for AcpiTable {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        visit_as::<AbsolutePath>(&mut self.path, |path| v.text(path));
        if self.kind.is_none() || self.path.is_none() {
            v.error("<table> of <acpi> needs its 'type' and the path of its file".into());
        }
    }
}
