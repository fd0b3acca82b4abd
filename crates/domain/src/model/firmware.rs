//! `<firmware>` and `<loader>` of `<os>`: the choice of the firmware.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

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

/// `<firmware>` of `<os>`: what firmware is chosen by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FirmwareFeatures {
    /// The features.
    pub features: Vec<FirmwareFeature>,
}

words! {
    /// A feature of firmware.
    pub enum FirmwareFeatureName {
        /// Keys are there from the start.
        EnrolledKeys = "enrolled-keys",
        /// Only what is signed is booted.
        SecureBoot = "secure-boot",
    }
}

/// `<feature>` of `<firmware>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FirmwareFeature {
    /// Whether it is wanted.
    pub enabled: Option<bool>,
    /// Which.
    pub name: Option<FirmwareFeatureName>,
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
    /// Whether it keeps nothing.
    pub stateless: Option<bool>,
    /// Format of the file.
    pub format: Option<FirmwareFormat>,
    /// Path of the file.
    pub path: Option<String>,
}

words! {
    /// Format of a firmware file.
    pub enum FirmwareFormat {
        /// As it is.
        Raw = "raw",
        /// QEMU's own.
        Qcow2 = "qcow2",
    }
}

impl Element for Loader {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("readonly", &mut self.readonly);
        v.yes_no("secure", &mut self.secure);
        v.attr("type", &mut self.kind);
        v.yes_no("stateless", &mut self.stateless);
        v.attr("format", &mut self.format);
        v.text(&mut self.path);
    }
}

impl Element for FirmwareFeatures {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("feature", &mut self.features);
    }
}

impl Element for FirmwareFeature {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("enabled", &mut self.enabled);
        v.attr("name", &mut self.name);
        if self.enabled.is_none() || self.name.is_none() {
            v.error("<feature> of <firmware> needs the attributes 'enabled' and 'name'".into());
        }
    }
}
