//! `<hyperv>` of `<features>`: enlightenments of Hyper-V, for guests that know it.

use crate::model::toggle::{OnOff, Toggle};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Which enlightenments the guest gets.
    pub enum HypervMode {
        /// Those that are said.
        Custom = "custom",
        /// All that the host has.
        Passthrough = "passthrough",
    }
}

/// `<hyperv>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hyperv {
    /// Which enlightenments the guest gets.
    pub mode: Option<HypervMode>,
    /// Time-outs are relaxed.
    pub relaxed: Option<Toggle>,
    /// A page for the interrupt controller.
    pub vapic: Option<Toggle>,
    /// Locks that tell the host that a CPU waits.
    pub spinlocks: Option<Spinlocks>,
    /// Numbers of virtual CPUs.
    pub vpindex: Option<Toggle>,
    /// How long a CPU has run.
    pub runtime: Option<Toggle>,
    /// An interrupt controller for messages.
    pub synic: Option<Toggle>,
    /// Timers that send messages.
    pub stimer: Option<Stimer>,
    /// A register that resets the guest.
    pub reset: Option<Toggle>,
    /// The hypervisor's name.
    pub vendor_id: Option<VendorId>,
    /// Registers with frequencies.
    pub frequencies: Option<Toggle>,
    /// Notice of a change of the clock after migration.
    pub reenlightenment: Option<Toggle>,
    /// Flushes of translations on other CPUs.
    pub tlbflush: Option<Tlbflush>,
    /// Interrupts between CPUs in one call.
    pub ipi: Option<Toggle>,
    /// Nested guests on Intel.
    pub evmcs: Option<Toggle>,
    /// Interrupts by the processor.
    pub avic: Option<Toggle>,
    /// Changes of nested guests' registers.
    pub emsr_bitmap: Option<Toggle>,
    /// Calls whose input is in registers.
    pub xmm_input: Option<Toggle>,
}

/// `<spinlocks>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spinlocks {
    /// On, off or unsaid.
    pub state: Option<OnOff>,
    /// Tries before the host is told, 4095 or more.
    pub retries: Option<u32>,
}

/// `<stimer>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stimer {
    /// On, off or unsaid.
    pub state: Option<OnOff>,
    /// Timers that interrupt without a message.
    pub direct: Option<Toggle>,
}

/// `<vendor_id>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VendorId {
    /// On, off or unsaid.
    pub state: Option<OnOff>,
    /// The name, up to 12 letters.
    pub value: Option<String>,
}

/// `<tlbflush>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tlbflush {
    /// On, off or unsaid.
    pub state: Option<OnOff>,
    /// Of nested guests.
    pub direct: Option<Toggle>,
    /// Of single ranges.
    pub extended: Option<Toggle>,
}

impl Element for Hyperv {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("mode", &mut self.mode);
        v.child("relaxed", &mut self.relaxed);
        v.child("vapic", &mut self.vapic);
        v.child("spinlocks", &mut self.spinlocks);
        v.child("vpindex", &mut self.vpindex);
        v.child("runtime", &mut self.runtime);
        v.child("synic", &mut self.synic);
        v.child("stimer", &mut self.stimer);
        v.child("reset", &mut self.reset);
        v.child("vendor_id", &mut self.vendor_id);
        v.child("frequencies", &mut self.frequencies);
        v.child("reenlightenment", &mut self.reenlightenment);
        v.child("tlbflush", &mut self.tlbflush);
        v.child("ipi", &mut self.ipi);
        v.child("evmcs", &mut self.evmcs);
        v.child("avic", &mut self.avic);
        v.child("emsr_bitmap", &mut self.emsr_bitmap);
        v.child("xmm_input", &mut self.xmm_input);
    }
}

impl Element for Spinlocks {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("state", &mut self.state);
        v.attr("retries", &mut self.retries);
        if v.reading() && self.state == Some(OnOff::On) && self.retries.is_none_or(|n| n < 0xfff) {
            v.error("<spinlocks> needs the attribute 'retries', 4095 or more".into());
        }
    }
}

impl Element for Stimer {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("state", &mut self.state);
        v.child("direct", &mut self.direct);
    }
}

impl Element for VendorId {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("state", &mut self.state);
        v.attr("value", &mut self.value);
        let fits = |text: &String| {
            text.len() <= 12
                && !text.contains(',')
                && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        };
        if v.reading() && self.state == Some(OnOff::On) && !self.value.as_ref().is_some_and(fits) {
            v.error(
                "<vendor_id> needs a 'value' of up to 12 printable letters, without commas".into(),
            );
        }
    }
}

impl Element for Tlbflush {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("state", &mut self.state);
        v.child("direct", &mut self.direct);
        v.child("extended", &mut self.extended);
    }
}
