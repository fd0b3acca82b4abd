//! `<watchdog>`: a timer that acts when the guest does not wind it.

use super::Info;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Model of a watchdog.
    pub enum WatchdogModel {
        /// Intel 6300ESB, on PCI.
        I6300esb = "i6300esb",
        /// iBASE 700, on ISA.
        Ib700 = "ib700",
        /// Of IBM Z.
        Diag288 = "diag288",
        /// Of the ICH9, which every q35 has.
        Itco = "itco",
    }
}

words! {
    /// What happens when a watchdog runs out.
    pub enum WatchdogAction {
        /// The guest is reset.
        Reset = "reset",
        /// The guest is asked to power off.
        Shutdown = "shutdown",
        /// The guest ends.
        Poweroff = "poweroff",
        /// The guest stops.
        Pause = "pause",
        /// The guest stops, and its memory is written to a file.
        Dump = "dump",
        /// Nothing.
        None = "none",
        /// The guest gets an NMI.
        InjectNmi = "inject-nmi",
    }
}

/// A watchdog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watchdog {
    /// Alias and address.
    pub info: Info,
    /// Model.
    pub model: Option<WatchdogModel>,
    /// What happens when it runs out.
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
