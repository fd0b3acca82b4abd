//! `<pm>`: which ways to sleep the guest is told of.

use crate::xml::{Element, Visitor};

/// `<pm>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pm {
    /// Sleep with the memory on (S3).
    pub suspend_to_mem: Option<Suspend>,
    /// Sleep with the memory on disk (S4).
    pub suspend_to_disk: Option<Suspend>,
}

/// `<suspend-to-mem>` or `<suspend-to-disk>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suspend {
    /// Whether the guest is told of it.
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
