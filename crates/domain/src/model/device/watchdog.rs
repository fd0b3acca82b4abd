//! `<watchdog>`: a timer that acts when the guest does not reset it.

use super::Info;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The model of a watchdog.
    pub enum WatchdogModel {
        /// Intel 6300ESB (PCI).
        I6300esb = "i6300esb",
        /// iBASE 700 (ISA).
        Ib700 = "ib700",
        /// DIAG 288 of IBM Z.
        Diag288 = "diag288",
        /// Watchdog of the ICH9, which every q35 has.
        Itco = "itco",
    }
}

words! {
    /// The action when a watchdog expires.
    pub enum WatchdogAction {
        /// The guest is reset.
        Reset = "reset",
        /// The guest is asked to power off.
        Shutdown = "shutdown",
        /// The guest ends.
        Poweroff = "poweroff",
        /// The guest pauses.
        Pause = "pause",
        /// The guest pauses, and its memory is written to a file.
        Dump = "dump",
        /// No action.
        None = "none",
        /// The guest gets an NMI.
        InjectNmi = "inject-nmi",
    }
}

/// `<watchdog>`: a watchdog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watchdog {
    /// Alias and address of the device.
    pub info: Info,
    /// Model.
    pub model: Option<WatchdogModel>,
    /// Action when the watchdog expires.
    pub action: Option<WatchdogAction>,
}

impl Element for Watchdog {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.attr("action", &mut self.action);
        self.info.visit(v);
        if self.model.is_none() {
            v.error("<watchdog> needs the attribute 'model'".into());
        }
    }
}
