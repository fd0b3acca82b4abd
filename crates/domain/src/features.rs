//! `<features>`: features of the machine.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<features>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// `<acpi/>`: ACPI tables, for power-off and hotplug.
    pub acpi: bool,
    /// `<apic/>`: interrupt controllers that can do more than the PC's first.
    pub apic: bool,
    /// `<pae/>`: physical addresses above 32 bits on 32-bit CPUs.
    pub pae: bool,
    /// `<kvm>`: what the guest sees of KVM.
    pub kvm: Option<Kvm>,
    /// `<pmu state=…/>`: performance counters.
    pub pmu: Option<Toggle>,
    /// `<vmport state=…/>`: VMware's I/O port.
    pub vmport: Option<Toggle>,
    /// `<smm state=…/>`: System Management Mode.
    pub smm: Option<Toggle>,
    /// `<ioapic driver=…/>`: who emulates the I/O APIC.
    pub ioapic: Option<Ioapic>,
    /// `<gic version=…/>`: Arm's interrupt controller.
    pub gic: Option<Gic>,
}

words! {
    /// On or off.
    pub enum State {
        /// On.
        On = "on",
        /// Off.
        Off = "off",
    }
}

/// A feature that is on or off; given without a state it is on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Toggle {
    /// On, off or unsaid.
    pub state: Option<State>,
}

/// `<kvm>` of `<features>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kvm {
    /// `<hidden state=…/>`: KVM's signature is hidden from the guest.
    pub hidden: Option<Toggle>,
}

words! {
    /// Who emulates the I/O APIC.
    pub enum IoapicDriver {
        /// The kernel.
        Kvm = "kvm",
        /// QEMU, as interrupt remapping needs it (`kernel_irqchip=split`).
        Qemu = "qemu",
    }
}

/// `<ioapic>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ioapic {
    /// Who emulates it.
    pub driver: Option<IoapicDriver>,
}

words! {
    /// Version of Arm's interrupt controller.
    pub enum GicVersion {
        /// The best one that the host has.
        Host = "host",
        /// GICv2.
        V2 = "2",
        /// GICv3.
        V3 = "3",
        /// GICv4.
        V4 = "4",
    }
}

/// `<gic>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gic {
    /// Its version.
    pub version: Option<GicVersion>,
}

impl Element for Features {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.flag("acpi", &mut self.acpi);
        v.flag("apic", &mut self.apic);
        v.flag("pae", &mut self.pae);
        v.child("kvm", &mut self.kvm);
        v.child("pmu", &mut self.pmu);
        v.child("vmport", &mut self.vmport);
        v.child("smm", &mut self.smm);
        v.child("ioapic", &mut self.ioapic);
        v.child("gic", &mut self.gic);
    }
}

impl Element for Toggle {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("state", &mut self.state);
    }
}

impl Element for Kvm {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.child("hidden", &mut self.hidden);
    }
}

impl Element for Ioapic {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("driver", &mut self.driver);
    }
}

impl Element for Gic {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("version", &mut self.version);
    }
}
