//! `<features>`: features of the machine.

use crate::model::hyperv::Hyperv;
use crate::model::memory::Memory;
use crate::model::toggle::{OnOff, Toggle};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<features>`. A flag is set if its element is present.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// `<acpi/>`: ACPI tables, for power-off and hotplug.
    pub acpi: bool,
    /// `<apic/>`: advanced programmable interrupt controller.
    pub apic: Option<Apic>,
    /// `<pae/>`: physical addresses above 32 bits on 32-bit CPUs.
    pub pae: bool,
    /// `<viridian/>`: Hyper-V enlightenments of Xen; no effect with other emulators.
    pub viridian: bool,
    /// `<hap state=…/>`: paging by the processor; no effect, since paging always uses the
    /// processor.
    pub hap: Option<Toggle>,
    /// `<privnet/>`: a network namespace; no effect.
    pub privnet: bool,
    /// `<hyperv>`: Hyper-V enlightenments.
    pub hyperv: Option<Hyperv>,
    /// `<kvm>`: KVM features that the guest sees.
    pub kvm: Option<Kvm>,
    /// `<pvspinlock state=…/>`: spin locks that yield to the host.
    pub pvspinlock: Option<Toggle>,
    /// `<pmu state=…/>`: performance counters.
    pub pmu: Option<Toggle>,
    /// `<vmport state=…/>`: VMware's I/O port.
    pub vmport: Option<Toggle>,
    /// `<smm state=…/>`: System Management Mode.
    pub smm: Option<Smm>,
    /// `<ioapic driver=…/>`: emulation of the I/O APIC.
    pub ioapic: Option<Ioapic>,
    /// `<gic version=…/>`: Arm's interrupt controller.
    pub gic: Option<Gic>,
    /// `<hpt>`: hash page table (Power).
    pub hpt: Option<Hpt>,
    /// `<htm state=…/>`: hardware transactional memory (Power).
    pub htm: Option<Toggle>,
    /// `<nested-hv state=…/>`: nested virtualization (Power).
    pub nested_hv: Option<Toggle>,
    /// `<ccf-assist state=…/>`: assisted flush of the count cache (Power).
    pub ccf_assist: Option<Toggle>,
    /// `<cfpc value=…/>`: cache flush on privilege change (Power).
    pub cfpc: Option<Mitigation>,
    /// `<sbbc value=…/>`: speculation barrier for bounds checks (Power).
    pub sbbc: Option<Mitigation>,
    /// `<ibs value=…/>`: indirect branch speculation (Power).
    pub ibs: Option<Mitigation>,
    /// `<vmcoreinfo state=…/>`: a device through which the guest's kernel describes its dumps.
    pub vmcoreinfo: Option<Toggle>,
    /// `<msrs unknown=…/>`: accesses to unknown model-specific registers.
    pub msrs: Option<Msrs>,
    /// `<tcg>`: settings of the translator.
    pub tcg: Option<Tcg>,
    /// `<async-teardown enabled=…/>`: asynchronous release of the memory after the guest ends.
    pub async_teardown: Option<AsyncTeardown>,
    /// `<ras state=…/>`: reports of memory errors (Arm).
    pub ras: Option<Toggle>,
    /// `<ps2 state=…/>`: controller of PS/2 keyboard and mouse.
    pub ps2: Option<Toggle>,
    /// `<aia value=…/>`: RISC-V's interrupt controller.
    pub aia: Option<Aia>,
}

/// `<apic>`: advanced programmable interrupt controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Apic {
    /// Paravirtual end of interrupt: the guest may skip the write to the register.
    pub eoi: Option<OnOff>,
}

/// `<smm>`: System Management Mode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Smm {
    /// On, off or absent.
    pub state: Option<OnOff>,
    /// Size of the memory for System Management Mode.
    pub tseg: Option<Memory>,
}

words! {
    /// The guest's permission to resize its hash page table (Power).
    pub enum HptResizing {
        /// Allowed if the guest supports resizing.
        Enabled = "enabled",
        /// Not allowed.
        Disabled = "disabled",
        /// Required: a guest without support does not start.
        Required = "required",
    }
}

/// `<hpt>`: hash page table (Power).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hpt {
    /// Permission to resize the table.
    pub resizing: Option<HptResizing>,
    /// Size of the largest page.
    pub maxpagesize: Option<Memory>,
}

words! {
    /// The state of a mitigation of speculative execution (Power).
    pub enum MitigationValue {
        /// No mitigation.
        Broken = "broken",
        /// A software workaround in the guest.
        Workaround = "workaround",
        /// Fixed in hardware.
        Fixed = "fixed",
        /// Fixed in hardware by serialized indirect branches.
        FixedIbs = "fixed-ibs",
        /// Fixed in hardware by a disabled count cache.
        FixedCcd = "fixed-ccd",
        /// Not affected.
        FixedNa = "fixed-na",
    }
}

/// `<cfpc>`, `<sbbc>` or `<ibs>`: a mitigation of speculative execution (Power).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mitigation {
    /// State of the mitigation.
    pub value: Option<MitigationValue>,
}

words! {
    /// The result of an access to an unknown model-specific register.
    pub enum UnknownMsrs {
        /// A fault in the guest.
        Fault = "fault",
        /// None: the access is ignored.
        Ignore = "ignore",
    }
}

/// `<msrs>`: accesses to model-specific registers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Msrs {
    /// Result of an access to an unknown register.
    pub unknown: Option<UnknownMsrs>,
}

/// `<tcg>`: settings of the translator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tcg {
    /// Size of the cache for translated code.
    pub tb_cache: Option<Memory>,
}

/// `<async-teardown>`: asynchronous release of the memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AsyncTeardown {
    /// Asynchronous release; on if the attribute is absent.
    pub enabled: Option<bool>,
}

words! {
    /// The mode of RISC-V's advanced interrupt architecture.
    pub enum AiaValue {
        /// No advanced interrupts.
        None = "none",
        /// Wired interrupts (APLIC).
        Aplic = "aplic",
        /// Wired interrupts and message-signalled interrupts (APLIC and IMSIC).
        AplicImsic = "aplic-imsic",
    }
}

/// `<aia>`: RISC-V's advanced interrupt architecture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aia {
    /// Mode.
    pub value: Option<AiaValue>,
}

/// `<kvm>` of `<features>`: KVM features that the guest sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kvm {
    /// `<hidden state=…/>`: KVM's CPUID signature is hidden from the guest.
    pub hidden: Option<Toggle>,
    /// `<hint-dedicated state=…/>`: hint that each virtual CPU has a CPU of the host for itself.
    pub hint_dedicated: Option<Toggle>,
    /// `<poll-control state=…/>`: the guest, not the host, polls before a CPU halts.
    pub poll_control: Option<Toggle>,
    /// `<pv-ipi state=…/>`: several inter-processor interrupts by one hypercall.
    pub pv_ipi: Option<Toggle>,
    /// `<dirty-ring state=… size=…/>`: a ring buffer of changed pages.
    pub dirty_ring: Option<DirtyRing>,
}

/// `<dirty-ring>`: a ring buffer of changed pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirtyRing {
    /// On, off or absent.
    pub state: Option<OnOff>,
    /// Number of entries: a power of two from 1024 to 65536.
    pub size: Option<u32>,
}

words! {
    /// The emulation of the I/O APIC.
    pub enum IoapicDriver {
        /// By the kernel.
        Kvm = "kvm",
        /// By QEMU, which interrupt remapping needs (`kernel_irqchip=split`).
        Qemu = "qemu",
    }
}

/// `<ioapic>`: the I/O APIC.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ioapic {
    /// Emulation of the I/O APIC.
    pub driver: Option<IoapicDriver>,
}

words! {
    /// Version of Arm's interrupt controller.
    pub enum GicVersion {
        /// The best version that the host supports.
        Host = "host",
        /// GICv2.
        V2 = "2",
        /// GICv3.
        V3 = "3",
        /// GICv4.
        V4 = "4",
    }
}

/// `<gic>`: Arm's interrupt controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gic {
    /// Version of the controller.
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
    /// Visits the features of Power.
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
        if self
            .size
            .is_some_and(|size| !size.is_power_of_two() || !(1024..=65536).contains(&size))
        {
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
