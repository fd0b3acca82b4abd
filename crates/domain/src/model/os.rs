//! `<os>`: architecture, machine type and boot.

use crate::model::firmware::{Firmware, FirmwareFeatures, Loader, LoaderType};
use crate::model::nvram::{Nvram, Varstore};
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
    /// A class of devices in the boot order.
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

/// `<os>`: architecture, machine type, firmware and boot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Os {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Kind of the firmware, if it is chosen by kind.
    pub firmware: Option<Firmware>,
    /// Architecture and machine type.
    pub kind: OsType,
    /// Features by which the firmware is chosen.
    pub features: Option<FirmwareFeatures>,
    /// Firmware file.
    pub loader: Option<Loader>,
    /// Variables of the firmware.
    pub nvram: Option<Nvram>,
    /// Variables of firmware that leaves them to the emulator.
    pub varstore: Option<Varstore>,
    /// Path of a kernel that is booted directly.
    pub kernel: Option<String>,
    /// Path of the shim that secure boot starts before the kernel.
    pub shim: Option<String>,
    /// Path of the kernel's initial RAM disk.
    pub initrd: Option<String>,
    /// Command line of the kernel.
    pub cmdline: Option<String>,
    /// Path of a device tree for the kernel.
    pub dtb: Option<String>,
    /// Classes of devices, in boot order.
    pub boot: Vec<BootDevice>,
    /// Boot menu.
    pub bootmenu: Option<BootMenu>,
    /// Settings of the BIOS.
    pub bios: Option<Bios>,
    /// Origin of the SMBIOS tables.
    pub smbios: Option<SmbiosMode>,
    /// Additional ACPI tables.
    pub acpi: Option<AcpiTables>,
}

words! {
    /// The origin of the SMBIOS tables.
    pub enum SmbiosMode {
        /// The emulator.
        Emulate = "emulate",
        /// The host.
        Host = "host",
        /// `<sysinfo>`.
        Sysinfo = "sysinfo",
    }
}

/// `<bios>` of `<os>`: settings of the BIOS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bios {
    /// Output of the BIOS to the serial port.
    pub useserial: Option<bool>,
    /// Delay before another boot attempt.
    pub reboot_timeout: Option<RebootTimeout>,
}

/// The delay in milliseconds before another boot attempt, up to 65535. -1 means no other attempt.
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

/// `<acpi>` of `<os>`: additional ACPI tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AcpiTables {
    /// The tables.
    pub tables: Vec<AcpiTable>,
}

words! {
    /// Kind of an ACPI table.
    pub enum AcpiTableType {
        /// One table with its header.
        Raw = "raw",
        /// Several concatenated tables with their headers.
        Rawset = "rawset",
        /// A software licence (SLIC).
        Slic = "slic",
        /// A Windows product key (MSDM).
        Msdm = "msdm",
    }
}

/// `<table>` of `<acpi>`: one additional ACPI table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AcpiTable {
    /// Kind of the table.
    pub kind: Option<AcpiTableType>,
    /// Path of the file with the table.
    pub path: Option<String>,
}

/// `<type>` of `<os>`: architecture and machine type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OsType {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Architecture. If it is absent, the platform's default.
    pub arch: Option<Arch>,
    /// Machine type. If it is absent, the emulator's default.
    pub machine: Option<String>,
}

/// `<bootmenu>`: the firmware's boot menu.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BootMenu {
    /// Display of the menu.
    pub enable: Option<bool>,
    /// Duration of the display in milliseconds.
    pub timeout: Option<u16>,
}

impl Os {
    /// Returns the storage of the firmware's variables. `None` also if the firmware of a completed
    /// domain is a file in read-only memory: it ignores `<nvram>`.
    pub fn variables(&self) -> Option<&Nvram> {
        let loader = self.loader.as_ref().filter(|_| self.firmware.is_none());
        let is_rom = loader.is_some_and(|l| l.path.is_some() && l.kind == Some(LoaderType::Rom));
        self.nvram.as_ref().filter(|_| !is_rom)
    }

    /// Returns whether the domain asks for firmware and leaves its file to the choice.
    pub fn leaves_firmware_open(&self) -> bool {
        let loader = self.loader.as_ref();
        self.firmware.is_some() && loader.is_none_or(|loader| loader.path.is_none())
    }
}

impl Element for Os {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("firmware", &mut self.firmware);
        let mut kind = (!v.reading()).then(|| self.kind.clone());
        v.child("type", &mut kind);
        match kind {
            Some(kind) => self.kind = kind,
            None => v.lacks(&["type"], "<os> needs a <type>".into()),
        }

        v.child("firmware", &mut self.features);
        v.child("loader", &mut self.loader);
        v.child("nvram", &mut self.nvram);
        v.child("varstore", &mut self.varstore);
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
