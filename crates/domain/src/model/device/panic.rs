//! `<panic>`: a device that reports the guest's crash.

use super::Info;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The model of a panic device.
    pub enum PanicModel {
        /// pvpanic on ISA.
        Isa = "isa",
        /// Firmware of Power.
        Pseries = "pseries",
        /// Hyper-V crash registers.
        Hyperv = "hyperv",
        /// Crash notification of Z.
        S390 = "s390",
        /// pvpanic on PCI.
        Pvpanic = "pvpanic",
    }
}

/// A panic device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panic {
    /// Alias and address of the device.
    pub info: Info,
    /// Model. If it is absent, the usual one of the architecture.
    pub model: Option<PanicModel>,
}

impl Element for Panic {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        self.info.visit(v);
    }
}
