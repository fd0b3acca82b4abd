//! `<os>`: architecture, machine type, firmware, and what is booted.

use crate::xml::place::Place;
use crate::xml::text::{FilePath, of_form};
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

words! {
    /// Firmware chosen by kind rather than by file.
    pub enum Firmware {
        /// UEFI.
        Efi = "efi",
        /// The machine's BIOS.
        Bios = "bios",
    }
}

words! {
    /// How a firmware file is put into the guest.
    pub enum LoaderType {
        /// As read-only memory.
        Rom = "rom",
        /// As flash memory.
        Pflash = "pflash",
    }
}

/// `<os>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Os {
    /// Where the element stands.
    pub place: Place,
    /// Firmware chosen by kind.
    pub firmware: Option<Firmware>,
    /// Architecture and machine.
    pub kind: OsType,
    /// A firmware file.
    pub loader: Option<Loader>,
    /// The firmware's variables.
    pub nvram: Option<Nvram>,
    /// A kernel booted directly.
    pub kernel: Option<String>,
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
}

/// `<type>` of `<os>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OsType {
    /// Where the element stands.
    pub place: Place,
    /// Architecture; the machine's own when absent.
    pub arch: Option<Arch>,
    /// Machine type; the emulator's default when absent.
    pub machine: Option<String>,
}

/// `<loader>`: a firmware file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loader {
    /// Whether the guest can write to it.
    pub readonly: Option<bool>,
    /// Whether System Management Mode protects its variables.
    pub secure: Option<bool>,
    /// How it is put into the guest.
    pub kind: Option<LoaderType>,
    /// Path of the file.
    pub path: Option<String>,
}

/// `<nvram>`: the firmware's variables, and the template that they start from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nvram {
    /// Path of the template.
    pub template: Option<String>,
    /// Path of the variables' file.
    pub path: Option<String>,
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
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.place(&mut self.place);
        v.attr("firmware", &mut self.firmware);
        let mut kind = (!v.reading()).then(|| self.kind.clone());
        v.child("type", &mut kind);
        match kind {
            Some(kind) => self.kind = kind,
            None => v.error("<os> needs a <type>".into()),
        }
        v.child("loader", &mut self.loader);
        v.child("nvram", &mut self.nvram);
        of_form::<FilePath>(&mut self.kernel, |path| v.leaf("kernel", path));
        of_form::<FilePath>(&mut self.initrd, |path| v.leaf("initrd", path));
        v.leaf("cmdline", &mut self.cmdline);
        of_form::<FilePath>(&mut self.dtb, |path| v.leaf("dtb", path));
        v.children_word("boot", "dev", &mut self.boot);
        v.child("bootmenu", &mut self.bootmenu);
    }
}

impl Element for OsType {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.place(&mut self.place);
        v.attr("arch", &mut self.arch);
        v.attr("machine", &mut self.machine);
        let mut text = (!v.reading()).then(|| "hvm".to_owned());
        v.text(&mut text);
        if text.as_deref() != Some("hvm") {
            v.error("the text of <type> must be 'hvm' (a full virtual machine)".into());
        }
    }
}

impl Element for Loader {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.yes_no("readonly", &mut self.readonly);
        v.yes_no("secure", &mut self.secure);
        v.attr("type", &mut self.kind);
        v.text(&mut self.path);
    }
}

impl Element for Nvram {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        of_form::<FilePath>(&mut self.template, |path| v.attr("template", path));
        v.text(&mut self.path);
    }
}

impl Element for BootMenu {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.yes_no("enable", &mut self.enable);
        v.attr("timeout", &mut self.timeout);
    }
}
