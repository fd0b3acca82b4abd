//! `<domain>`: all elements of a guest.

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
use crate::xml::span::{SourceSpan, TopSpans};
use crate::xml::text::{GuestName, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor, writer};

words! {
    /// The execution of the guest's CPUs.
    pub enum VirtType {
        /// By the processor, through KVM.
        Kvm = "kvm",
        /// By translation (TCG), without hardware support.
        Qemu = "qemu",
    }
}

/// Largest number of CPUs that interrupts reach without the extended interrupt mode of an IOMMU
/// (`eim`): xAPIC ids have 8 bits.
pub(crate) const CPUS_WITHOUT_EIM: u32 = 255;

/// A guest: `<domain>`. Absent elements are `None`; [`Domain::complete`] fills in defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Domain {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Source positions of the elements in it.
    pub(crate) top_spans: TopSpans,
    /// Execution of the guest's CPUs.
    pub kind: Option<VirtType>,
    /// Name, unique among the guests of a host.
    pub name: Option<String>,
    /// Identity of the guest, which the guest can read.
    pub uuid: Option<Uuid>,
    /// Title for people; no effect.
    pub title: Option<String>,
    /// Description for people; no effect.
    pub description: Option<String>,
    /// Data of applications, kept unchanged; no effect.
    pub metadata: Option<String>,
    /// Generation id, which changes when the guest goes back in time.
    pub genid: Option<Genid>,
    /// Largest amount of memory with hotplugged modules.
    pub max_memory: Option<MaxMemory>,
    /// Memory at start.
    pub memory: Option<Memory>,
    /// Memory that the balloon leaves to the guest.
    pub current_memory: Option<Memory>,
    /// Backing of the memory on the host.
    pub memory_backing: Option<MemoryBacking>,
    /// Shares of the host's disks.
    pub blkiotune: Option<Blkiotune>,
    /// Memory limits of the emulator's process.
    pub memtune: Option<Memtune>,
    /// Number of virtual CPUs.
    pub vcpu: Option<Vcpu>,
    /// Settings of single virtual CPUs.
    pub vcpus: Option<Vcpus>,
    /// Number of I/O threads.
    pub iothreads: Option<u32>,
    /// I/O threads by id.
    pub iothreadids: Option<Iothreadids>,
    /// Main thread of the emulator.
    pub default_iothread: Option<DefaultIothread>,
    /// CPU time and CPU affinity.
    pub cputune: Option<Cputune>,
    /// NUMA nodes of the host for the memory.
    pub numatune: Option<Numatune>,
    /// Control group.
    pub resource: Option<Resource>,
    /// Information about the machine that the guest can read.
    pub sysinfos: Vec<Sysinfo>,
    /// Default for all devices of the host: iommufd or type1.
    pub iommufd: Option<DomainIommufd>,
    /// Boot loader on the host, for other kinds of guest; `validate` refuses it.
    pub bootloader: Option<String>,
    /// Architecture, machine type, firmware and boot order.
    pub os: Os,
    /// Users of a container; no effect.
    pub idmap: Option<Idmap>,
    /// Features of the machine.
    pub features: Option<Features>,
    /// CPU model, topology and features.
    pub cpu: Option<Cpu>,
    /// Clock and timers.
    pub clock: Option<Clock>,
    /// Action when the guest powers off.
    pub on_poweroff: Option<LifecycleAction>,
    /// Action when the guest reboots.
    pub on_reboot: Option<LifecycleAction>,
    /// Action when the guest crashes. Only a device such as `<panic>` reports a crash.
    pub on_crash: Option<CrashAction>,
    /// Action when a disk lease is lost; no effect, since leases are not supported.
    pub on_lockfailure: Option<LockFailureAction>,
    /// Sleep states that the guest sees.
    pub pm: Option<Pm>,
    /// Performance events that the host counts.
    pub perf: Option<Perf>,
    /// Devices.
    pub devices: Devices,
    /// Additional arguments and environment of the emulator.
    pub emulator_commandline: Option<EmulatorCommandline>,
    /// Capabilities that the emulator is assumed to have or to lack.
    pub emulator_capabilities: Option<EmulatorCapabilities>,
    /// Properties of devices that override those of their elements.
    pub emulator_override: Option<EmulatorOverride>,
    /// Behavior of the emulator at deprecated features.
    pub emulator_deprecation: Option<DeprecationBehavior>,
    /// Security labels of the host's access control; no effect.
    pub seclabels: Vec<Seclabel>,
    /// Wrapped keys (Z).
    pub keywrap: Option<Keywrap>,
    /// Protection of the guest's memory from the host.
    pub launch_security: Option<LaunchSecurity>,
}

/// `<genid>`: an identity that changes when the guest goes back in time (snapshot, copy).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Genid {
    /// The identity. If it is absent, `complete` derives one.
    pub uuid: Option<Uuid>,
}

impl Element for Genid {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.text(&mut self.uuid);
    }
}

impl Domain {
    /// Returns whether the guest has more than [`CPUS_WITHOUT_EIM`] CPUs.
    pub(crate) fn needs_eim(&self) -> bool {
        let count = self.vcpu.as_ref().and_then(|vcpu| vcpu.count);
        count.is_some_and(|count| count > CPUS_WITHOUT_EIM)
    }

    /// Returns the source position of an element: a child of `<domain>`, as `cputune`, or a child
    /// of such an element, as `os/smbios`. If the document does not have the element, the position
    /// is that of the element around it.
    pub fn place_of(&self, name: &str) -> SourceSpan {
        SourceSpan(self.top_spans.get(name).or_else(|| self.span.0.clone()))
    }

    /// Returns whether the document has an element for the machine type.
    pub(crate) fn has_machine_type(&self) -> bool {
        self.top_spans.has("os/type")
    }

    /// Returns a description of all known elements, attributes and values.
    pub fn description() -> Description {
        describe::describe::<Self>("domain")
    }

    /// Returns the domain without the passwords of its screens, to be shown or stored.
    pub fn without_passwords(&self) -> Self {
        let mut domain = self.clone();
        for graphics in &mut domain.devices.graphics {
            graphics.passwd = None;
        }
        domain
    }

    /// Returns the domain as XML in libvirt's spelling, indented by two spaces a level.
    pub fn format(&self) -> String {
        writer::write("domain", self)
    }

    /// Returns the XML of a running guest, in libvirt's layout: with the alias of each device, and
    /// with the passwords of its screens.
    pub fn format_running(&self) -> String {
        writer::write_running("domain", self)
    }
}

impl Element for Domain {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.top_spans(&mut self.top_spans);
        v.attr("type", &mut self.kind);
        // Number of a guest that was running when its XML was written.
        v.attr("id", &mut None::<u32>);
        // The reader checks namespaces itself.
        v.attr(
            "xmlns:qemu",
            &mut self
                .has_emulator_elements()
                .then(|| QEMU_NAMESPACE.to_owned()),
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
        self.visit_resources(v);
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
        self.visit_emulator_elements(v);
        if v.reading() {
            self.check_required(v);
        }
    }
}

impl Domain {
    /// Visits CPUs, threads and shares of the host's resources.
    fn visit_resources(&mut self, v: &mut dyn Visitor) {
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
            None => v.lacks(
                &["os"],
                "<domain> needs an <os> with the machine's <type>".into(),
            ),
        }
    }

    fn visit_devices(&mut self, v: &mut dyn Visitor) {
        let mut devices = (!v.reading()).then(|| std::mem::take(&mut self.devices));
        v.child("devices", &mut devices);
        self.devices = devices.unwrap_or_default();
    }

    fn visit_emulator_elements(&mut self, v: &mut dyn Visitor) {
        v.child("qemu:commandline", &mut self.emulator_commandline);
        v.child("qemu:capabilities", &mut self.emulator_capabilities);
        v.child("qemu:override", &mut self.emulator_override);
        v.child_word(
            "qemu:deprecation",
            "behavior",
            &mut self.emulator_deprecation,
        );
    }

    const fn has_emulator_elements(&self) -> bool {
        self.emulator_commandline.is_some()
            || self.emulator_capabilities.is_some()
            || self.emulator_override.is_some()
            || self.emulator_deprecation.is_some()
    }

    fn check_required(&self, v: &mut dyn Visitor) {
        if self.kind.is_none() {
            let message = "<domain> needs the attribute 'type' ('kvm' or 'qemu')";
            v.lacks(&["type"], message.into());
        }

        if self.name.is_none() {
            v.lacks(&["name"], "<domain> needs a <name>".into());
        }
        let of_cells = self
            .cpu
            .as_ref()
            .and_then(|cpu| cpu.numa.as_ref())
            .map_or(0, Numa::memory);
        if self.memory.map_or(of_cells, Memory::bytes) == 0 {
            let message = "<domain> needs a <memory> above zero";
            v.lacks(&["memory", "cpu"], message.into());
        }
    }
}
