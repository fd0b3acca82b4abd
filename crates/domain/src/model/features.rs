//! `<features>`: features of the machine.

use crate::model::hyperv::Hyperv;
use crate::model::memory::Memory;
use crate::model::toggle::{OnOff, Toggle};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<features>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// `<acpi/>`: ACPI tables, for power-off and hotplug.
    pub acpi: bool,
    /// `<apic/>`: interrupt controllers that can do more than the PC's first.
    pub apic: Option<Apic>,
    /// `<pae/>`: physical addresses above 32 bits on 32-bit CPUs.
    pub pae: bool,
    /// `<viridian/>`: enlightenments of Xen; no effect with other emulators.
    pub viridian: bool,
    /// `<hap state=…/>`: paging by the processor; no effect, since nothing else is used.
    pub hap: Option<Toggle>,
    /// `<privnet/>`: a network of its own; no effect.
    pub privnet: bool,
    /// `<hyperv>`: what the guest sees of Hyper-V.
    pub hyperv: Option<Hyperv>,
    /// `<kvm>`: what the guest sees of KVM.
    pub kvm: Option<Kvm>,
    /// `<pvspinlock state=…/>`: locks that tell the host that a CPU waits.
    pub pvspinlock: Option<Toggle>,
    /// `<pmu state=…/>`: performance counters.
    pub pmu: Option<Toggle>,
    /// `<vmport state=…/>`: VMware's I/O port.
    pub vmport: Option<Toggle>,
    /// `<smm state=…/>`: System Management Mode.
    pub smm: Option<Smm>,
    /// `<ioapic driver=…/>`: who emulates the I/O APIC.
    pub ioapic: Option<Ioapic>,
    /// `<gic version=…/>`: Arm's interrupt controller.
    pub gic: Option<Gic>,
    /// `<hpt>`: Power's page table.
    pub hpt: Option<Hpt>,
    /// `<htm state=…/>`: Power's hardware transactional memory.
    pub htm: Option<Toggle>,
    /// `<nested-hv state=…/>`: Power's nested virtualization.
    pub nested_hv: Option<Toggle>,
    /// `<ccf-assist state=…/>`: Power's help with flushing the count cache.
    pub ccf_assist: Option<Toggle>,
    /// `<cfpc value=…/>`: Power's flushing of the first cache when privilege changes.
    pub cfpc: Option<Mitigation>,
    /// `<sbbc value=…/>`: Power's barrier against speculation past bounds.
    pub sbbc: Option<Mitigation>,
    /// `<ibs value=…/>`: Power's guard of indirect branches.
    pub ibs: Option<Mitigation>,
    /// `<vmcoreinfo state=…/>`: where a guest's kernel says how its dump is to be read.
    pub vmcoreinfo: Option<Toggle>,
    /// `<msrs unknown=…/>`: what happens when the guest uses a register that is not known.
    pub msrs: Option<Msrs>,
    /// `<tcg>`: settings of the translator.
    pub tcg: Option<Tcg>,
    /// `<async-teardown enabled=…/>`: the memory is given back after the guest has ended.
    pub async_teardown: Option<AsyncTeardown>,
    /// `<ras state=…/>`: Arm's reports of faulty memory.
    pub ras: Option<Toggle>,
    /// `<ps2 state=…/>`: the controller of the PC's keyboard and mouse.
    pub ps2: Option<Toggle>,
    /// `<aia value=…/>`: RISC-V's interrupt controller.
    pub aia: Option<Aia>,
}

/// `<apic>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Apic {
    /// Whether the guest can skip the register that ends an interrupt.
    pub eoi: Option<OnOff>,
}

/// `<smm>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Smm {
    /// On, off or unsaid.
    pub state: Option<OnOff>,
    /// Its memory.
    pub tseg: Option<Memory>,
}

words! {
    /// Whether Power's page table can change its size.
    pub enum HptResizing {
        /// Where the guest can.
        Enabled = "enabled",
        /// No.
        Disabled = "disabled",
        /// Only guests that can are started.
        Required = "required",
    }
}

/// `<hpt>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hpt {
    /// Whether its size can change.
    pub resizing: Option<HptResizing>,
    /// Largest page.
    pub maxpagesize: Option<Memory>,
}

words! {
    /// How Power guards against an attack.
    pub enum MitigationValue {
        /// Not at all.
        Broken = "broken",
        /// The guest's system does.
        Workaround = "workaround",
        /// The processor does.
        Fixed = "fixed",
        /// The processor does, by serializing branches.
        FixedIbs = "fixed-ibs",
        /// The processor does, by leaving the count cache out.
        FixedCcd = "fixed-ccd",
        /// Nothing is to be guarded.
        FixedNa = "fixed-na",
    }
}

/// `<cfpc>`, `<sbbc>` or `<ibs>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mitigation {
    /// How.
    pub value: Option<MitigationValue>,
}

words! {
    /// What happens when the guest uses a register that is not known.
    pub enum UnknownMsrs {
        /// It is a fault of the guest.
        Fault = "fault",
        /// Nothing.
        Ignore = "ignore",
    }
}

/// `<msrs>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Msrs {
    /// What happens.
    pub unknown: Option<UnknownMsrs>,
}

/// `<tcg>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tcg {
    /// Memory for translated code.
    pub tb_cache: Option<Memory>,
}

/// `<async-teardown>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AsyncTeardown {
    /// Whether the memory is given back later; yes where it is not said.
    pub enabled: Option<bool>,
}

words! {
    /// Which of RISC-V's interrupt controllers.
    pub enum AiaValue {
        /// None.
        None = "none",
        /// Wired interrupts.
        Aplic = "aplic",
        /// Wired interrupts and messages.
        AplicImsic = "aplic-imsic",
    }
}

/// `<aia>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aia {
    /// Which.
    pub value: Option<AiaValue>,
}

/// `<kvm>` of `<features>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kvm {
    /// `<hidden state=…/>`: KVM's signature is hidden from the guest.
    pub hidden: Option<Toggle>,
    /// `<hint-dedicated state=…/>`: the guest is told that its CPUs are its own.
    pub hint_dedicated: Option<Toggle>,
    /// `<poll-control state=…/>`: the guest polls before a CPU rests, not the host.
    pub poll_control: Option<Toggle>,
    /// `<pv-ipi state=…/>`: interrupts between CPUs in one call.
    pub pv_ipi: Option<Toggle>,
    /// `<dirty-ring state=… size=…/>`: changed pages are told in a ring.
    pub dirty_ring: Option<DirtyRing>,
}

/// `<dirty-ring>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirtyRing {
    /// On, off or unsaid.
    pub state: Option<OnOff>,
    /// Entries of the ring: a power of two from 1024 to 65536.
    pub size: Option<u32>,
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
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.flag("acpi", &mut self.acpi);
        v.child("apic", &mut self.apic);
        v.flag("pae", &mut self.pae);
        v.child("hap", &mut self.hap);
        v.flag("viridian", &mut self.viridian);
        v.flag("privnet", &mut self.privnet);
        v.child("hyperv", &mut self.hyperv);
        v.child("kvm", &mut self.kvm);
        v.child("pvspinlock", &mut self.pvspinlock);
        v.child("pmu", &mut self.pmu);
        v.child("vmport", &mut self.vmport);
        v.child("gic", &mut self.gic);
        v.child("smm", &mut self.smm);
        v.child("ioapic", &mut self.ioapic);
        self.visit_power(v);
        v.child("vmcoreinfo", &mut self.vmcoreinfo);
        v.child("msrs", &mut self.msrs);
        v.child("tcg", &mut self.tcg);
        v.child("async-teardown", &mut self.async_teardown);
        v.child("ras", &mut self.ras);
        v.child("ps2", &mut self.ps2);
        v.child("aia", &mut self.aia);
    }
}

impl Features {
    /// The features of Power.
    fn visit_power(&mut self, v: &mut dyn Visitor) {
        v.child("hpt", &mut self.hpt);
        v.child("htm", &mut self.htm);
        v.child("nested-hv", &mut self.nested_hv);
        v.child("ccf-assist", &mut self.ccf_assist);
        v.child("cfpc", &mut self.cfpc);
        v.child("sbbc", &mut self.sbbc);
        v.child("ibs", &mut self.ibs);
    }
}

impl Element for Apic {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("eoi", &mut self.eoi);
    }
}

impl Element for Smm {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("state", &mut self.state);
        v.child("tseg", &mut self.tseg);
    }
}

impl Element for Hpt {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("resizing", &mut self.resizing);
        v.child("maxpagesize", &mut self.maxpagesize);
    }
}

impl Element for Mitigation {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("value", &mut self.value);
        if self.value.is_none() {
            v.error("the attribute 'value' is missing".into());
        }
    }
}

impl Element for Msrs {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("unknown", &mut self.unknown);
        if self.unknown.is_none() {
            v.error("<msrs> needs the attribute 'unknown'".into());
        }
    }
}

impl Element for Tcg {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("tb-cache", &mut self.tb_cache);
    }
}

impl Element for AsyncTeardown {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("enabled", &mut self.enabled);
    }
}

impl Element for Aia {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("value", &mut self.value);
        if self.value.is_none() {
            v.error("<aia> needs the attribute 'value'".into());
        }
    }
}

impl Element for DirtyRing {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("state", &mut self.state);
        v.attr("size", &mut self.size);
        let fits = |size: u32| size.is_power_of_two() && (1024..=65536).contains(&size);
        if self.size.is_some_and(|size| !fits(size)) {
            v.error("'size' of <dirty-ring> must be a power of two from 1024 to 65536".into());
        }
    }
}

impl Element for Kvm {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("hidden", &mut self.hidden);
        v.child("hint-dedicated", &mut self.hint_dedicated);
        v.child("poll-control", &mut self.poll_control);
        v.child("pv-ipi", &mut self.pv_ipi);
        v.child("dirty-ring", &mut self.dirty_ring);
    }
}

impl Element for Ioapic {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("driver", &mut self.driver);
    }
}

impl Element for Gic {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("version", &mut self.version);
    }
}
