//! Limits on the host's resources: memory, disks, network adapters. The emulator gets no option for
//! them; the process that starts the guest applies them.

use crate::model::memory::Memory;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<memtune>`: memory limits of the emulator's process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memtune {
    /// Largest amount of memory.
    pub hard_limit: Option<Memory>,
    /// Amount of memory under memory pressure of the host.
    pub soft_limit: Option<Memory>,
    /// Guaranteed amount of memory.
    pub min_guarantee: Option<Memory>,
    /// Largest amount of memory and swap together.
    pub swap_hard_limit: Option<Memory>,
}

/// `<blkiotune>`: shares of disk throughput.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blkiotune {
    /// Weight of the guest, 10 to 1000.
    pub weight: Option<u32>,
    /// Settings of single disks of the host.
    pub devices: Vec<BlkioDevice>,
}

/// `<device>` of `<blkiotune>`: settings of one disk of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlkioDevice {
    /// Path of the disk.
    pub path: Option<String>,
    /// Weight of the guest on this disk.
    pub weight: Option<u32>,
    /// Largest number of reads per second.
    pub read_iops_sec: Option<u32>,
    /// Largest number of writes per second.
    pub write_iops_sec: Option<u32>,
    /// Largest number of bytes read per second.
    pub read_bytes_sec: Option<u64>,
    /// Largest number of bytes written per second.
    pub write_bytes_sec: Option<u64>,
}

/// `<resource>`: the guest's control group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Path of the control group.
    pub partition: Option<String>,
    /// Name of the guest in the storage network.
    pub fibrechannel: Option<Fibrechannel>,
}

/// `<fibrechannel>`: the name of the guest in the storage network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fibrechannel {
    /// The name, 1 to 128 printable characters.
    pub appid: Option<String>,
}

/// `<idmap>`: the mapping of user and group ids, for a file system. `<idmap>` of a full virtual
/// machine has no effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Idmap {
    /// Mapping of user ids.
    pub uids: Vec<IdRange>,
    /// Mapping of group ids.
    pub gids: Vec<IdRange>,
}

/// `<uid>` or `<gid>` of `<idmap>`: a range of ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdRange {
    /// First id in the guest.
    pub start: u32,
    /// First id on the host.
    pub target: u32,
    /// Number of ids.
    pub count: u32,
}

/// `<perf>`: performance events that the host counts while the guest runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Perf {
    /// The events.
    pub events: Vec<PerfEvent>,
}

words! {
    /// A performance event.
    pub enum PerfName {
        /// Lines of the last-level cache in use.
        Cmt = "cmt",
        /// Memory bandwidth of all NUMA nodes.
        Mbmt = "mbmt",
        /// Memory bandwidth of the local NUMA node.
        Mbml = "mbml",
        /// CPU cycles.
        CpuCycles = "cpu_cycles",
        /// Instructions.
        Instructions = "instructions",
        /// Cache accesses.
        CacheReferences = "cache_references",
        /// Cache misses.
        CacheMisses = "cache_misses",
        /// Branches.
        BranchInstructions = "branch_instructions",
        /// Mispredicted branches.
        BranchMisses = "branch_misses",
        /// Bus cycles.
        BusCycles = "bus_cycles",
        /// Cycles without an issued instruction.
        StalledCyclesFrontend = "stalled_cycles_frontend",
        /// Cycles without a retired instruction.
        StalledCyclesBackend = "stalled_cycles_backend",
        /// CPU cycles at the nominal frequency.
        RefCpuCycles = "ref_cpu_cycles",
        /// CPU clock.
        CpuClock = "cpu_clock",
        /// Task clock.
        TaskClock = "task_clock",
        /// Page faults.
        PageFaults = "page_faults",
        /// Context switches.
        ContextSwitches = "context_switches",
        /// Migrations to another CPU.
        CpuMigrations = "cpu_migrations",
        /// Minor page faults.
        PageFaultsMin = "page_faults_min",
        /// Major page faults.
        PageFaultsMaj = "page_faults_maj",
        /// Unaligned accesses.
        AlignmentFaults = "alignment_faults",
        /// Emulated instructions.
        EmulationFaults = "emulation_faults",
    }
}

/// `<event>` of `<perf>`: one performance event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerfEvent {
    /// Name of the event.
    pub name: Option<PerfName>,
    /// Counting of the event.
    pub enabled: Option<bool>,
}

impl Element for Memtune {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("hard_limit", &mut self.hard_limit);
        v.child("soft_limit", &mut self.soft_limit);
        v.child("min_guarantee", &mut self.min_guarantee);
        v.child("swap_hard_limit", &mut self.swap_hard_limit);
    }
}

impl Element for Blkiotune {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.leaf("weight", &mut self.weight);
        v.children("device", &mut self.devices);
    }
}

impl Element for BlkioDevice {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.leaf("path", &mut self.path);
        v.leaf("weight", &mut self.weight);
        v.leaf("read_iops_sec", &mut self.read_iops_sec);
        v.leaf("write_iops_sec", &mut self.write_iops_sec);
        v.leaf("read_bytes_sec", &mut self.read_bytes_sec);
        v.leaf("write_bytes_sec", &mut self.write_bytes_sec);
        if self.path.is_none() {
            v.error("<device> of <blkiotune> needs the <path> of a disk".into());
        }
    }
}

impl Element for Resource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.leaf("partition", &mut self.partition);
        v.child("fibrechannel", &mut self.fibrechannel);
        if self
            .partition
            .as_ref()
            .is_some_and(|path| !path.starts_with('/'))
        {
            v.error("<partition> must be a path that starts with '/'".into());
        }
    }
}

impl Element for Fibrechannel {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("appid", &mut self.appid);
        if v.reading() && !self.appid.as_deref().is_some_and(is_appid) {
            v.error(
                "'appid' of <fibrechannel> must be a name of 1 to 128 printable letters".into(),
            );
        }
    }
}

fn is_appid(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Element for Idmap {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("uid", &mut self.uids);
        v.children("gid", &mut self.gids);
    }
}

impl Element for IdRange {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("start", &mut self.start);
        v.required("target", &mut self.target);
        v.required("count", &mut self.count);
    }
}

impl Element for Perf {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("event", &mut self.events);
    }
}

impl Element for PerfEvent {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("name", &mut self.name);
        v.yes_no("enabled", &mut self.enabled);
        if self.name.is_none() || self.enabled.is_none() {
            v.error("<event> of <perf> needs the attributes 'name' and 'enabled'".into());
        }
    }
}
