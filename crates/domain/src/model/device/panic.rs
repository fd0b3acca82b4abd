//! `<panic>`: a device that reports the guest's crash.

use super::Info;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Model of a panic device.
    pub enum PanicModel {
        /// pvpanic on ISA.
        Isa = "isa",
        /// Power's firmware.
        Pseries = "pseries",
        /// Hyper-V's registers.
        Hyperv = "hyperv",
        /// Z's.
        S390 = "s390",
        /// pvpanic on PCI.
        Pvpanic = "pvpanic",
    }
}

/// A panic device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panic {
    /// Alias and address.
    pub info: Info,
    /// Model; the architecture's own when absent.
    pub model: Option<PanicModel>,
}

impl Element for Panic {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        self.info.visit(v);
    }
}
