//! `<hyperv>` of `<features>`: Hyper-V enlightenments, for guests that support them.

use crate::model::toggle::{OnOff, Toggle};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The choice of the enlightenments.
    pub enum HypervMode {
        /// The listed ones.
        Custom = "custom",
        /// All that the host supports.
        Passthrough = "passthrough",
    }
}

/// `<hyperv>`: Hyper-V enlightenments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hyperv {
    /// Choice of the enlightenments.
    pub mode: Option<HypervMode>,
    /// Relaxed time limits in the guest.
    pub relaxed: Option<Toggle>,
    /// Virtual APIC page.
    pub vapic: Option<Toggle>,
    /// Spin locks that notify the host after a number of tries.
    pub spinlocks: Option<Spinlocks>,
    /// Virtual processor indexes.
    pub vpindex: Option<Toggle>,
    /// Counter of the run time of a virtual CPU.
    pub runtime: Option<Toggle>,
    /// Synthetic interrupt controller.
    pub synic: Option<Toggle>,
    /// Synthetic timers.
    pub stimer: Option<Stimer>,
    /// Register that resets the guest.
    pub reset: Option<Toggle>,
    /// Vendor id of the hypervisor.
    pub vendor_id: Option<VendorId>,
    /// Registers with the frequencies of counters.
    pub frequencies: Option<Toggle>,
    /// Notification of a changed time stamp counter after migration.
    pub reenlightenment: Option<Toggle>,
    /// Paravirtual TLB flushes on other CPUs.
    pub tlbflush: Option<Tlbflush>,
    /// Paravirtual inter-processor interrupts.
    pub ipi: Option<Toggle>,
    /// Enlightened VMCS, for nested guests on Intel.
    pub evmcs: Option<Toggle>,
    /// Interrupt delivery by the processor (AVIC, APICv).
    pub avic: Option<Toggle>,
    /// Enlightened MSR bitmap, for nested guests.
    pub emsr_bitmap: Option<Toggle>,
    /// Hypercall input in XMM registers.
    pub xmm_input: Option<Toggle>,
}

/// `<spinlocks>`: spin locks that notify the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spinlocks {
    /// On, off or absent.
    pub state: Option<OnOff>,
    /// Tries before the notification, 4095 or more.
    pub retries: Option<u32>,
}

/// `<stimer>`: synthetic timers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stimer {
    /// On, off or absent.
    pub state: Option<OnOff>,
    /// Direct mode: timers that raise an interrupt without a message.
    pub direct: Option<Toggle>,
}

/// `<vendor_id>`: vendor id of the hypervisor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VendorId {
    /// On, off or absent.
    pub state: Option<OnOff>,
    /// The id, up to 12 printable characters without commas.
    pub value: Option<String>,
}

/// `<tlbflush>`: paravirtual TLB flushes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tlbflush {
    /// On, off or absent.
    pub state: Option<OnOff>,
    /// Direct flushes by nested guests.
    pub direct: Option<Toggle>,
    /// Flushes of single address ranges.
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
        let is_valid = self.value.as_deref().is_some_and(is_vendor_id);
        if v.reading() && self.state == Some(OnOff::On) && !is_valid {
            v.error(
                "<vendor_id> needs a 'value' of up to 12 printable letters, without commas".into(),
            );
        }
    }
}

fn is_vendor_id(text: &str) -> bool {
    text.len() <= 12
        && text
            .bytes()
            .all(|b| (b' '..=b'~').contains(&b) && b != b',')
}

impl Element for Tlbflush {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("state", &mut self.state);
        v.child("direct", &mut self.direct);
        v.child("extended", &mut self.extended);
    }
}
