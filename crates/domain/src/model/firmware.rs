//! `<firmware>` and `<loader>` of `<os>`: the choice of the firmware.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The kind of firmware, if it is chosen by kind rather than by file.
    pub enum Firmware {
        /// UEFI.
        Efi = "efi",
        /// The machine's BIOS.
        Bios = "bios",
    }
}

words! {
    /// The mapping of a firmware file into the guest.
    pub enum LoaderType {
        /// Read-only memory.
        Rom = "rom",
        /// Flash memory.
        Pflash = "pflash",
    }
}

/// `<firmware>` of `<os>`: features by which the firmware is chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FirmwareFeatures {
    /// The features.
    pub features: Vec<FirmwareFeature>,
}

words! {
    /// A feature of firmware.
    pub enum FirmwareFeatureName {
        /// Secure boot keys are enrolled at the first start.
        EnrolledKeys = "enrolled-keys",
        /// Only signed programs are booted.
        SecureBoot = "secure-boot",
    }
}

/// `<feature>` of `<firmware>`: a wanted or unwanted feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FirmwareFeature {
    /// Presence of the feature: wanted (true) or unwanted (false).
    pub enabled: Option<bool>,
    /// Name of the feature.
    pub name: Option<FirmwareFeatureName>,
}

impl FirmwareFeatures {
    /// Returns whether a feature is wanted (true) or unwanted (false). The last entry counts.
    pub fn wish(&self, name: FirmwareFeatureName) -> Option<bool> {
        let mut named = self.features.iter().filter(|f| f.name == Some(name));
        named.next_back()?.enabled
    }
}

/// `<loader>`: a firmware file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loader {
    /// Protection of the file from writes of the guest.
    pub readonly: Option<bool>,
    /// Protection of the variables by System Management Mode.
    pub secure: Option<bool>,
    /// Mapping of the file into the guest.
    pub kind: Option<LoaderType>,
    /// Absence of variables that outlive a start.
    pub stateless: Option<bool>,
    /// Format of the file.
    pub format: Option<FirmwareFormat>,
    /// Path of the file.
    pub path: Option<String>,
}

words! {
    /// Format of a firmware file.
    pub enum FirmwareFormat {
        /// A plain copy of the flash memory's contents.
        Raw = "raw",
        /// QEMU's qcow2 format.
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
