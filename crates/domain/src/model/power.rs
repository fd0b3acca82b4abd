//! `<pm>`: sleep states that the guest sees.

use crate::xml::{Element, Visitor};

/// `<pm>`: sleep states that the guest sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pm {
    /// Suspend to memory (ACPI S3).
    pub suspend_to_mem: Option<Suspend>,
    /// Suspend to disk (ACPI S4).
    pub suspend_to_disk: Option<Suspend>,
}

/// `<suspend-to-mem>` or `<suspend-to-disk>`: one sleep state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suspend {
    /// Visibility of the state to the guest.
    pub enabled: Option<bool>,
}

impl Element for Pm {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("suspend-to-mem", &mut self.suspend_to_mem);
        v.child("suspend-to-disk", &mut self.suspend_to_disk);
    }
}

impl Element for Suspend {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("enabled", &mut self.enabled);
    }
}
