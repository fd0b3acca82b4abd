//! `<cputune>`: CPU time and CPU affinity. The emulator gets no option for these settings; the
//! process that starts the guest applies them.

use crate::model::idset::IdSet;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<cputune>`: CPU time and CPU affinity of the guest's threads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cputune {
    /// Weight of the guest against other guests (cgroup `cpu.weight`).
    pub shares: Option<u64>,
    /// Scheduling period of each virtual CPU, in microseconds.
    pub period: Option<u64>,
    /// CPU time of each virtual CPU per period.
    pub quota: Option<Quota>,
    /// Scheduling period of the whole guest, in microseconds.
    pub global_period: Option<u64>,
    /// CPU time of the whole guest per period.
    pub global_quota: Option<Quota>,
    /// Scheduling period of the emulator's own threads, in microseconds.
    pub emulator_period: Option<u64>,
    /// CPU time of the emulator's own threads per period.
    pub emulator_quota: Option<Quota>,
    /// Scheduling period of I/O threads, in microseconds.
    pub iothread_period: Option<u64>,
    /// CPU time of I/O threads per period.
    pub iothread_quota: Option<Quota>,
    /// Affinity of virtual CPUs.
    pub vcpupins: Vec<Vcpupin>,
    /// Affinity of the emulator's own threads.
    pub emulatorpin: Option<IdSet>,
    /// Affinity of I/O threads.
    pub iothreadpins: Vec<Iothreadpin>,
    /// Scheduling policies of virtual CPUs.
    pub vcpuscheds: Vec<Sched>,
    /// Scheduling policies of I/O threads.
    pub iothreadscheds: Vec<Sched>,
    /// Scheduling policy of the emulator's own threads.
    pub emulatorsched: Option<Sched>,
    /// Shares of the last-level cache.
    pub cachetunes: Vec<Cachetune>,
    /// Shares of memory bandwidth.
    pub memorytunes: Vec<Memorytune>,
}

/// CPU time per period, in microseconds. A negative number means no limit.
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

/// `<vcpupin>`: the affinity of one virtual CPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vcpupin {
    /// Number of the virtual CPU.
    pub vcpu: u32,
    /// CPUs of the host.
    pub cpuset: IdSet,
}

/// `<iothreadpin>`: the affinity of one I/O thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Iothreadpin {
    /// Id of the I/O thread.
    pub iothread: u32,
    /// CPUs of the host.
    pub cpuset: IdSet,
}

words! {
    /// A policy of the host's scheduler.
    pub enum Scheduler {
        /// `SCHED_BATCH`, for work that can wait.
        Batch = "batch",
        /// `SCHED_IDLE`, for work on an otherwise idle CPU.
        Idle = "idle",
        /// `SCHED_FIFO`: a thread runs until it waits.
        Fifo = "fifo",
        /// `SCHED_RR`: threads of one priority take turns.
        Rr = "rr",
    }
}

/// `<vcpusched>`, `<iothreadsched>` or `<emulatorsched>`: a scheduling policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sched {
    /// Numbers of the virtual CPUs.
    pub vcpus: Option<IdSet>,
    /// Ids of the I/O threads.
    pub iothreads: Option<IdSet>,
    /// Policy of the host's scheduler.
    pub scheduler: Option<Scheduler>,
    /// Priority, for the real-time policies.
    pub priority: Option<u32>,
}

/// `<cachetune>`: cache shares of some virtual CPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cachetune {
    /// Numbers of the virtual CPUs.
    pub vcpus: IdSet,
    /// Shares of the caches.
    pub caches: Vec<CacheShare>,
    /// Monitors of cache use.
    pub monitors: Vec<ResourceMonitor>,
}

words! {
    /// The contents of a cache.
    pub enum CacheType {
        /// Code and data.
        Both = "both",
        /// Code.
        Code = "code",
        /// Data.
        Data = "data",
    }
}

/// `<cache>` of `<cachetune>`: a share of one cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheShare {
    /// Number of the cache on the host.
    pub id: u32,
    /// Level of the cache.
    pub level: u32,
    /// Contents that the share is for.
    pub kind: Option<CacheType>,
    /// Size of the share in bytes.
    pub size: Option<u64>,
}

/// `<monitor>`: a monitor of resource use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceMonitor {
    /// Level of the monitored cache.
    pub level: Option<u32>,
    /// Numbers of the virtual CPUs.
    pub vcpus: IdSet,
}

/// `<memorytune>`: bandwidth shares of some virtual CPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memorytune {
    /// Numbers of the virtual CPUs.
    pub vcpus: IdSet,
    /// Shares of the NUMA nodes' bandwidth.
    pub nodes: Vec<BandwidthShare>,
    /// Monitors of bandwidth use.
    pub monitors: Vec<ResourceMonitor>,
}

/// `<node>` of `<memorytune>`: a share of one NUMA node's bandwidth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BandwidthShare {
    /// NUMA node of the host.
    pub id: u32,
    /// Share in the host's unit, mostly per cent.
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
