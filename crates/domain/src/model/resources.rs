//! What of the host a guest may use: memory, disks, network adapters. The emulator is told nothing
//! of it; who starts the guest sets it up.

use crate::model::memory::Memory;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<memtune>`: limits for all memory of the emulator's process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memtune {
    /// The most that it gets.
    pub hard_limit: Option<Memory>,
    /// What it is pushed back to when memory is short.
    pub soft_limit: Option<Memory>,
    /// What it is promised.
    pub min_guarantee: Option<Memory>,
    /// The most of memory and swap.
    pub swap_hard_limit: Option<Memory>,
}

/// `<blkiotune>`: shares of the disks' throughput.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blkiotune {
    /// The guest's weight, 10 to 1000.
    pub weight: Option<u32>,
    /// For single disks of the host.
    pub devices: Vec<BlkioDevice>,
}

/// `<device>` of `<blkiotune>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlkioDevice {
    /// Path of the disk.
    pub path: Option<String>,
    /// The guest's weight there.
    pub weight: Option<u32>,
    /// Reads a second.
    pub read_iops_sec: Option<u32>,
    /// Writes a second.
    pub write_iops_sec: Option<u32>,
    /// Bytes read a second.
    pub read_bytes_sec: Option<u64>,
    /// Bytes written a second.
    pub write_bytes_sec: Option<u64>,
}

/// `<resource>`: the control group that the guest is in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Its path.
    pub partition: Option<String>,
    /// Name by which the storage network knows the guest.
    pub fibrechannel: Option<Fibrechannel>,
}

/// `<fibrechannel>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fibrechannel {
    /// The name, 1 to 128 printable letters.
    pub appid: Option<String>,
}

/// `<idmap>`: which users of the host stand for those of a container (a full virtual machine has
/// none, and nothing comes of it), or for those in a filesystem.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Idmap {
    /// Of users.
    pub uids: Vec<IdRange>,
    /// Of groups.
    pub gids: Vec<IdRange>,
}

/// `<uid>` or `<gid>` of `<idmap>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdRange {
    /// First id within.
    pub start: u32,
    /// First id outside.
    pub target: u32,
    /// How many.
    pub count: u32,
}

/// `<perf>`: what is counted while the guest runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Perf {
    /// The events.
    pub events: Vec<PerfEvent>,
}

words! {
    /// What can be counted.
    pub enum PerfName {
        /// Lines of the last cache in use.
        Cmt = "cmt",
        /// Traffic to memory.
        Mbmt = "mbmt",
        /// Traffic to the memory of the own node.
        Mbml = "mbml",
        /// Cycles.
        CpuCycles = "cpu_cycles",
        /// Instructions.
        Instructions = "instructions",
        /// Looks into a cache.
        CacheReferences = "cache_references",
        /// Looks in vain.
        CacheMisses = "cache_misses",
        /// Branches.
        BranchInstructions = "branch_instructions",
        /// Branches that were guessed wrong.
        BranchMisses = "branch_misses",
        /// Cycles of the bus.
        BusCycles = "bus_cycles",
        /// Cycles in which no instruction came.
        StalledCyclesFrontend = "stalled_cycles_frontend",
        /// Cycles in which no instruction ended.
        StalledCyclesBackend = "stalled_cycles_backend",
        /// Cycles at the nominal rate.
        RefCpuCycles = "ref_cpu_cycles",
        /// Time on a CPU.
        CpuClock = "cpu_clock",
        /// Time of the task.
        TaskClock = "task_clock",
        /// Pages that were not there.
        PageFaults = "page_faults",
        /// Changes of the task.
        ContextSwitches = "context_switches",
        /// Moves to another CPU.
        CpuMigrations = "cpu_migrations",
        /// Pages that were in memory.
        PageFaultsMin = "page_faults_min",
        /// Pages that were on disk.
        PageFaultsMaj = "page_faults_maj",
        /// Accesses that were not aligned.
        AlignmentFaults = "alignment_faults",
        /// Instructions that were emulated.
        EmulationFaults = "emulation_faults",
    }
}

/// `<event>` of `<perf>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerfEvent {
    /// Which one.
    pub name: Option<PerfName>,
    /// Whether it is counted.
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
        let printable = |text: &String| {
            (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if v.reading() && !self.appid.as_ref().is_some_and(printable) {
            v.error(
                "'appid' of <fibrechannel> must be a name of 1 to 128 printable letters".into(),
            );
        }
    }
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
