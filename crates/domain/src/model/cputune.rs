//! `<cputune>`: how much time CPUs get, and where they run. The emulator is told nothing of it; who
//! starts the guest sets it up.

use crate::model::idset::IdSet;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<cputune>`: how much time CPUs get, and where they run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cputune {
    /// Weight of the guest.
    pub shares: Option<u64>,
    /// Microseconds of a turn, for each virtual CPU.
    pub period: Option<u64>,
    /// Microseconds of work in a turn.
    pub quota: Option<Quota>,
    /// The same for the whole guest.
    pub global_period: Option<u64>,
    /// The same for the whole guest.
    pub global_quota: Option<Quota>,
    /// The same for the emulator's own threads.
    pub emulator_period: Option<u64>,
    /// The same for the emulator's own threads.
    pub emulator_quota: Option<Quota>,
    /// The same for threads of input and output.
    pub iothread_period: Option<u64>,
    /// The same for threads of input and output.
    pub iothread_quota: Option<Quota>,
    /// Where virtual CPUs run.
    pub vcpupins: Vec<Vcpupin>,
    /// Where the emulator's own threads run.
    pub emulatorpin: Option<IdSet>,
    /// Where threads of input and output run.
    pub iothreadpins: Vec<Iothreadpin>,
    /// How virtual CPUs are scheduled.
    pub vcpuscheds: Vec<Sched>,
    /// How threads of input and output are scheduled.
    pub iothreadscheds: Vec<Sched>,
    /// How the emulator's own threads are scheduled.
    pub emulatorsched: Option<Sched>,
    /// Shares of the last cache.
    pub cachetunes: Vec<Cachetune>,
    /// Shares of the memory's bandwidth.
    pub memorytunes: Vec<Memorytune>,
}

/// Microseconds of work in a turn; negative is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota(pub i64);

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Quota {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self)
            .map_err(|_| "expected a whole number; a negative one means no limit")
    }
}
crate::xml::value::value_by_display!(Quota);

/// `<vcpupin>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vcpupin {
    /// The virtual CPU.
    pub vcpu: u32,
    /// The host's CPUs.
    pub cpuset: IdSet,
}

/// `<iothreadpin>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Iothreadpin {
    /// The thread.
    pub iothread: u32,
    /// The host's CPUs.
    pub cpuset: IdSet,
}

words! {
    /// A policy of the host's scheduler.
    pub enum Scheduler {
        /// For work that can wait.
        Batch = "batch",
        /// For work when nothing else is to be done.
        Idle = "idle",
        /// Until it waits.
        Fifo = "fifo",
        /// In turns.
        Rr = "rr",
    }
}

/// `<vcpusched>`, `<iothreadsched>` or `<emulatorsched>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sched {
    /// The virtual CPUs.
    pub vcpus: Option<IdSet>,
    /// The threads.
    pub iothreads: Option<IdSet>,
    /// The policy.
    pub scheduler: Option<Scheduler>,
    /// Priority, for the real-time policies.
    pub priority: Option<u32>,
}

/// `<cachetune>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cachetune {
    /// The virtual CPUs.
    pub vcpus: IdSet,
    /// Their shares.
    pub caches: Vec<CacheShare>,
    /// What is watched.
    pub monitors: Vec<ResourceMonitor>,
}

words! {
    /// What of a cache is meant.
    pub enum CacheType {
        /// Code and data.
        Both = "both",
        /// Code.
        Code = "code",
        /// Data.
        Data = "data",
    }
}

/// `<cache>` of `<cachetune>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheShare {
    /// Number of the cache.
    pub id: u32,
    /// Its level.
    pub level: u32,
    /// What of it.
    pub kind: Option<CacheType>,
    /// How much, in bytes.
    pub size: Option<u64>,
}

/// `<monitor>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceMonitor {
    /// Level of the cache.
    pub level: Option<u32>,
    /// The virtual CPUs.
    pub vcpus: IdSet,
}

/// `<memorytune>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memorytune {
    /// The virtual CPUs.
    pub vcpus: IdSet,
    /// Their shares.
    pub nodes: Vec<BandwidthShare>,
    /// What is watched.
    pub monitors: Vec<ResourceMonitor>,
}

/// `<node>` of `<memorytune>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BandwidthShare {
    /// The host's node.
    pub id: u32,
    /// How much, as the host counts it (mostly in per cent).
    pub bandwidth: u32,
}

impl Element for Cputune {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.leaf("shares", &mut self.shares);
        v.leaf("period", &mut self.period);
        v.leaf("quota", &mut self.quota);
        v.leaf("global_period", &mut self.global_period);
        v.leaf("global_quota", &mut self.global_quota);
        v.leaf("emulator_period", &mut self.emulator_period);
        v.leaf("emulator_quota", &mut self.emulator_quota);
        v.leaf("iothread_period", &mut self.iothread_period);
        v.leaf("iothread_quota", &mut self.iothread_quota);
        v.children("vcpupin", &mut self.vcpupins);
        v.child_word("emulatorpin", "cpuset", &mut self.emulatorpin);
        v.children("iothreadpin", &mut self.iothreadpins);
        v.children("vcpusched", &mut self.vcpuscheds);
        v.children("iothreadsched", &mut self.iothreadscheds);
        v.child("emulatorsched", &mut self.emulatorsched);
        v.children("cachetune", &mut self.cachetunes);
        v.children("memorytune", &mut self.memorytunes);
        self.check_times(v);
    }
}

impl Cputune {
    fn check_times(&self, v: &mut dyn Visitor) {
        let periods = [
            ("period", self.period),
            ("global_period", self.global_period),
            ("emulator_period", self.emulator_period),
            ("iothread_period", self.iothread_period),
        ];
        for (name, _) in periods
            .iter()
            .filter(|(_, n)| n.is_some_and(|n| !(1_000..=1_000_000).contains(&n)))
        {
            v.error(format!(
                "<{name}> of <cputune> must be from 1000 to 1000000 microseconds"
            ));
        }
        let quotas = [
            ("quota", self.quota),
            ("global_quota", self.global_quota),
            ("emulator_quota", self.emulator_quota),
            ("iothread_quota", self.iothread_quota),
        ];
        for (name, _) in quotas
            .iter()
            .filter(|(_, n)| n.is_some_and(|n| (0..1_000).contains(&n.0)))
        {
            v.error(format!(
                "<{name}> of <cputune> must be at least 1000 microseconds, or negative for no limit"
            ));
        }
    }
}

impl Element for Vcpupin {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("vcpu", &mut self.vcpu);
        v.required("cpuset", &mut self.cpuset);
    }
}

impl Element for Iothreadpin {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("iothread", &mut self.iothread);
        v.required("cpuset", &mut self.cpuset);
    }
}

impl Element for Sched {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("vcpus", &mut self.vcpus);
        v.attr("iothreads", &mut self.iothreads);
        v.attr("scheduler", &mut self.scheduler);
        v.attr("priority", &mut self.priority);
        match self.scheduler {
            None => v.error("the attribute 'scheduler' is missing".into()),
            Some(Scheduler::Fifo | Scheduler::Rr) if self.priority.is_none() => {
                v.error("the schedulers 'fifo' and 'rr' need a 'priority'".into());
            }
            _ => {}
        }
    }
}

impl Element for Cachetune {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("vcpus", &mut self.vcpus);
        v.children("cache", &mut self.caches);
        v.children("monitor", &mut self.monitors);
    }
}

impl Element for CacheShare {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("id", &mut self.id);
        v.required("level", &mut self.level);
        v.attr("type", &mut self.kind);
        crate::model::memory::visit_amount(v, "size", &mut self.size);
        if self.kind.is_none() || self.size.is_none() {
            v.error("<cache> of <cachetune> needs the attributes 'type' and 'size'".into());
        }
    }
}

impl Element for ResourceMonitor {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("level", &mut self.level);
        v.required("vcpus", &mut self.vcpus);
    }
}

impl Element for Memorytune {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("vcpus", &mut self.vcpus);
        v.children("node", &mut self.nodes);
        v.children("monitor", &mut self.monitors);
    }
}

impl Element for BandwidthShare {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("id", &mut self.id);
        v.required("bandwidth", &mut self.bandwidth);
    }
}
