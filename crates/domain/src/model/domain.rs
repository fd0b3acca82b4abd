//! `<domain>`: the whole of a guest.

use crate::model::clock::Clock;
use crate::model::cpu::Cpu;
use crate::model::cputune::Cputune;
use crate::model::device::Devices;
use crate::model::emulator::{
    DeprecationBehavior, EmulatorCapabilities, EmulatorCommandline, EmulatorOverride,
};
use crate::model::features::Features;
use crate::model::iommufd::DomainIommufd;
use crate::model::iothreads::{DefaultIothread, Iothreadids};
use crate::model::lifecycle::{CrashAction, LifecycleAction, LockFailureAction};
use crate::model::memory::{MaxMemory, Memory, MemoryBacking};
use crate::model::numa::Numa;
use crate::model::numatune::Numatune;
use crate::model::os::Os;
use crate::model::power::Pm;
use crate::model::resources::{Blkiotune, Idmap, Memtune, Perf, Resource};
use crate::model::security::{Keywrap, LaunchSecurity, Seclabel};
use crate::model::sysinfo::Sysinfo;
use crate::model::uuid::Uuid;
use crate::model::vcpu::{Vcpu, Vcpus};
use crate::xml::describe::{self, Description};
use crate::xml::node::QEMU_NAMESPACE;
use crate::xml::span::SourceSpan;
use crate::xml::text::{GuestName, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor, writer};

words! {
    /// How the guest's CPUs are made.
    pub enum VirtType {
        /// By the processor itself.
        Kvm = "kvm",
        /// By translation, without hardware help (TCG).
        Qemu = "qemu",
    }
}

/// Largest number of CPUs that interrupts reach without the extended interrupt mode of an IOMMU
/// (`eim`): xAPIC ids have 8 bits.
pub(crate) const CPUS_WITHOUT_EIM: u32 = 255;

/// A guest: `<domain>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Domain {
    /// Where the element stands.
    pub span: SourceSpan,
    /// How the CPUs are made.
    pub kind: Option<VirtType>,
    /// Name, unique among the guests of a host.
    pub name: Option<String>,
    /// Identity, also shown to the guest.
    pub uuid: Option<Uuid>,
    /// One line about the guest; no effect.
    pub title: Option<String>,
    /// Text about the guest; no effect.
    pub description: Option<String>,
    /// What applications keep with the guest, to the letter; no effect.
    pub metadata: Option<String>,
    /// An identity that changes when the guest goes back in time.
    pub genid: Option<Genid>,
    /// The most memory that can be there.
    pub max_memory: Option<MaxMemory>,
    /// Memory at start.
    pub memory: Option<Memory>,
    /// What the balloon leaves of the memory.
    pub current_memory: Option<Memory>,
    /// What the memory is made of.
    pub memory_backing: Option<MemoryBacking>,
    /// Shares of the host's disks.
    pub blkiotune: Option<Blkiotune>,
    /// Limits for memory.
    pub memtune: Option<Memtune>,
    /// Virtual CPUs.
    pub vcpu: Option<Vcpu>,
    /// Virtual CPUs one by one.
    pub vcpus: Option<Vcpus>,
    /// How many threads serve disks.
    pub iothreads: Option<u32>,
    /// The threads by their ids.
    pub iothreadids: Option<Iothreadids>,
    /// The emulator's own thread.
    pub default_iothread: Option<DefaultIothread>,
    /// Time of CPUs, and where they run.
    pub cputune: Option<Cputune>,
    /// Where the memory comes from.
    pub numatune: Option<Numatune>,
    /// Control group.
    pub resource: Option<Resource>,
    /// What the guest reads of its machine.
    pub sysinfos: Vec<Sysinfo>,
    /// iommufd for all devices.
    pub iommufd: Option<DomainIommufd>,
    /// Program that starts the guest's system; for other kinds of guest, and refused.
    pub bootloader: Option<String>,
    /// Machine, firmware, boot.
    pub os: Os,
    /// Users of a container; no effect.
    pub idmap: Option<Idmap>,
    /// Features of the machine.
    pub features: Option<Features>,
    /// The CPU model.
    pub cpu: Option<Cpu>,
    /// Clock and timers.
    pub clock: Option<Clock>,
    /// When the guest powers itself off.
    pub on_poweroff: Option<LifecycleAction>,
    /// When the guest reboots.
    pub on_reboot: Option<LifecycleAction>,
    /// When the guest crashes. Without a device that reports it, nobody learns of a crash.
    pub on_crash: Option<CrashAction>,
    /// When a lease of a disk is lost; no effect, since leases are not supported.
    pub on_lockfailure: Option<LockFailureAction>,
    /// Ways to sleep.
    pub pm: Option<Pm>,
    /// What is counted.
    pub perf: Option<Perf>,
    /// The devices.
    pub devices: Devices,
    /// Arguments and environment of the emulator.
    pub emulator_commandline: Option<EmulatorCommandline>,
    /// What the emulator is to be taken to have.
    pub emulator_capabilities: Option<EmulatorCapabilities>,
    /// Properties of devices, whatever their elements say.
    pub emulator_override: Option<EmulatorOverride>,
    /// What the emulator does with what is going to be dropped.
    pub emulator_deprecation: Option<DeprecationBehavior>,
    /// Labels of the host's access control; no effect.
    pub seclabels: Vec<Seclabel>,
    /// Keys that are wrapped.
    pub keywrap: Option<Keywrap>,
    /// Memory that the host cannot read.
    pub launch_security: Option<LaunchSecurity>,
}

/// `<genid>`: an identity that changes when the guest goes back in time (a snapshot, a copy).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Genid {
    /// The identity; `complete` derives one where none is said.
    pub uuid: Option<Uuid>,
}

impl Element for Genid {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.text(&mut self.uuid);
    }
}

impl Domain {
    /// Returns whether the guest has more CPUs than interrupts reach without the IOMMU's extended
    /// mode.
    pub(crate) fn needs_eim(&self) -> bool {
        let count = self.vcpu.as_ref().and_then(|vcpu| vcpu.count);
        count.is_some_and(|count| count > CPUS_WITHOUT_EIM)
    }

    /// Describes all elements, attributes and values that are understood.
    pub fn description() -> Description {
        describe::describe::<Self>("domain")
    }

    /// Writes the domain as XML, in upstream's spelling, two spaces a level.
    pub fn format(&self) -> String {
        writer::write("domain", self)
    }
}

impl Element for Domain {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("type", &mut self.kind);
        // The number of a guest that was running when its XML was written.
        v.attr("id", &mut None::<u32>);
        // The reader knows namespaces as such.
        v.attr(
            "xmlns:qemu",
            &mut self.has_emulators().then(|| QEMU_NAMESPACE.to_owned()),
        );
        visit_as::<GuestName>(&mut self.name, |name| v.leaf("name", name));
        v.leaf("uuid", &mut self.uuid);
        v.child("genid", &mut self.genid);
        v.leaf("title", &mut self.title);
        v.leaf("description", &mut self.description);
        v.verbatim("metadata", &mut self.metadata);
        v.child("maxMemory", &mut self.max_memory);
        v.child("memory", &mut self.memory);
        v.child("currentMemory", &mut self.current_memory);
        v.child("memoryBacking", &mut self.memory_backing);
        self.visit_shares(v);
        v.child("iommufd", &mut self.iommufd);
        v.children("sysinfo", &mut self.sysinfos);
        v.leaf("bootloader", &mut self.bootloader);
        self.visit_os(v);
        v.child("idmap", &mut self.idmap);
        v.child("features", &mut self.features);
        v.child("cpu", &mut self.cpu);
        v.child("clock", &mut self.clock);
        v.leaf("on_poweroff", &mut self.on_poweroff);
        v.leaf("on_reboot", &mut self.on_reboot);
        v.leaf("on_crash", &mut self.on_crash);
        v.leaf("on_lockfailure", &mut self.on_lockfailure);
        v.child("pm", &mut self.pm);
        v.child("perf", &mut self.perf);
        self.visit_devices(v);
        v.children("seclabel", &mut self.seclabels);
        v.child("keywrap", &mut self.keywrap);
        v.child("launchSecurity", &mut self.launch_security);
        self.visit_emulators(v);
        if v.reading() {
            self.check_required(v);
        }
    }
}

impl Domain {
    /// CPUs and threads, and what of the host the guest may use.
    fn visit_shares(&mut self, v: &mut dyn Visitor) {
        v.child("blkiotune", &mut self.blkiotune);
        v.child("memtune", &mut self.memtune);
        v.child("vcpu", &mut self.vcpu);
        v.child("vcpus", &mut self.vcpus);
        v.leaf("iothreads", &mut self.iothreads);
        let mut named = self.iothreadids.clone().filter(|ids| !ids.is_implied());
        v.child("iothreadids", &mut named);
        self.iothreadids = named.or(self.iothreadids.take());
        v.child("defaultiothread", &mut self.default_iothread);
        v.child("cputune", &mut self.cputune);
        v.child("numatune", &mut self.numatune);
        v.child("resource", &mut self.resource);
    }

    fn visit_os(&mut self, v: &mut dyn Visitor) {
        let mut os = (!v.reading()).then(|| std::mem::take(&mut self.os));
        v.child("os", &mut os);
        match os {
            Some(os) => self.os = os,
            None => v.error("<domain> needs an <os> with the machine's <type>".into()),
        }
    }

    fn visit_devices(&mut self, v: &mut dyn Visitor) {
        let mut devices = (!v.reading()).then(|| std::mem::take(&mut self.devices));
        v.child("devices", &mut devices);
        self.devices = devices.unwrap_or_default();
    }

    fn visit_emulators(&mut self, v: &mut dyn Visitor) {
        v.child("qemu:commandline", &mut self.emulator_commandline);
        v.child("qemu:capabilities", &mut self.emulator_capabilities);
        v.child("qemu:override", &mut self.emulator_override);
        v.child_word(
            "qemu:deprecation",
            "behavior",
            &mut self.emulator_deprecation,
        );
    }

    const fn has_emulators(&self) -> bool {
        self.emulator_commandline.is_some()
            || self.emulator_capabilities.is_some()
            || self.emulator_override.is_some()
            || self.emulator_deprecation.is_some()
    }

    fn check_required(&self, v: &mut dyn Visitor) {
        if self.kind.is_none() {
            v.error("<domain> needs the attribute 'type' ('kvm' or 'qemu')".into());
        }
        if self.name.is_none() {
            v.error("<domain> needs a <name>".into());
        }
        let of_cells = self
            .cpu
            .as_ref()
            .and_then(|cpu| cpu.numa.as_ref())
            .map_or(0, Numa::memory);
        if self.memory.map_or(of_cells, Memory::bytes) == 0 {
            v.error("<domain> needs a <memory> above zero".into());
        }
    }
}
