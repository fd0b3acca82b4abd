//! `<cpu>`: the CPU that the guest sees.

use crate::model::numa::Numa;
use crate::xml::span::SourceSpan;
use crate::xml::text::{CpuWord, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Where the CPU model comes from.
    pub enum CpuMode {
        /// The `<model>` named.
        Custom = "custom",
        /// The named model that is nearest to the host's CPU.
        HostModel = "host-model",
        /// The host's CPU as it is.
        HostPassthrough = "host-passthrough",
        /// All that the emulator can offer.
        Maximum = "maximum",
    }
}

words! {
    /// How strictly the host must have what is asked for.
    pub enum CpuMatch {
        /// At least that.
        Minimum = "minimum",
        /// That, and the guest sees no more.
        Exact = "exact",
        /// That and no more.
        Strict = "strict",
    }
}

words! {
    /// Who checks that the host has what is asked for.
    pub enum CpuCheck {
        /// Nobody.
        None = "none",
        /// Before the start, where the manager can.
        Partial = "partial",
        /// Before and after the start.
        Full = "full",
    }
}

words! {
    /// What happens to a feature of the CPU.
    pub enum FeaturePolicy {
        /// The guest has it, even if the host has not.
        Force = "force",
        /// The host must have it.
        Require = "require",
        /// The guest has it where the host has.
        Optional = "optional",
        /// The guest must not have it.
        Disable = "disable",
        /// The guest must not start where the host has it.
        Forbid = "forbid",
    }
}

/// `<cpu>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Where the model comes from.
    pub mode: Option<CpuMode>,
    /// How strictly the host must match.
    pub matching: Option<CpuMatch>,
    /// Who checks it.
    pub check: Option<CpuCheck>,
    /// Whether features that block migration are left out.
    pub migratable: Option<bool>,
    /// Whether features that are on their way out are there (Z).
    pub deprecated_features: Option<bool>,
    /// The named model.
    pub model: Option<CpuModel>,
    /// The maker that the host's CPU must have.
    pub vendor: Option<String>,
    /// Sockets, cores, threads.
    pub topology: Option<CpuTopology>,
    /// What the guest sees of caches.
    pub cache: Option<CpuCache>,
    /// How wide physical addresses are.
    pub maxphysaddr: Option<Maxphysaddr>,
    /// Single features.
    pub features: Vec<CpuFeature>,
    /// NUMA nodes.
    pub numa: Option<Numa>,
}

words! {
    /// What the guest sees of caches.
    pub enum CpuCacheMode {
        /// Made-up ones.
        Emulate = "emulate",
        /// The host's.
        Passthrough = "passthrough",
        /// None.
        Disable = "disable",
    }
}

/// `<cache>` of `<cpu>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuCache {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Level, 1 to 3; all when absent.
    pub level: Option<u32>,
    /// What the guest sees.
    pub mode: Option<CpuCacheMode>,
}

words! {
    /// Where the width of physical addresses comes from.
    pub enum MaxphysaddrMode {
        /// It is said, or the emulator's usual one.
        Emulate = "emulate",
        /// From the host's CPU.
        Passthrough = "passthrough",
    }
}

/// `<maxphysaddr>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maxphysaddr {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Where the width comes from.
    pub mode: Option<MaxphysaddrMode>,
    /// The width, of an emulated one.
    pub bits: Option<u32>,
    /// The most, of the host's.
    pub limit: Option<u32>,
}

/// `<model>` of `<cpu>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuModel {
    /// Whether a nearer model may be taken instead (`allow`) or not (`forbid`).
    pub fallback: Option<Fallback>,
    /// The maker's name that the guest sees, twelve letters.
    pub vendor_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

words! {
    /// Whether another CPU model may be taken.
    pub enum Fallback {
        /// It may.
        Allow = "allow",
        /// It may not.
        Forbid = "forbid",
    }
}

/// `<topology>`: the product is the number of CPUs.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuTopology {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Sockets.
    pub sockets: u32,
    /// Dies of a socket.
    pub dies: Option<u32>,
    /// Clusters of a die.
    pub clusters: Option<u32>,
    /// Cores of a cluster.
    pub cores: u32,
    /// Threads of a core.
    pub threads: u32,
}

/// `<feature>` of `<cpu>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuFeature {
    /// Where the element stands.
    pub span: SourceSpan,
    /// What happens to it.
    pub policy: Option<FeaturePolicy>,
    /// Its name.
    pub name: String,
}

impl CpuFeature {
    /// Whether it is a length of Arm's scalable vectors, in bits (`sve512`).
    pub(crate) fn is_sve_length(&self) -> bool {
        let bits = self
            .name
            .strip_prefix("sve")
            .filter(|bits| !bits.is_empty());
        bits.is_some_and(|bits| bits.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl Element for Cpu {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("mode", &mut self.mode);
        v.attr("match", &mut self.matching);
        v.attr("check", &mut self.check);
        v.on_off("migratable", &mut self.migratable);
        v.on_off("deprecated_features", &mut self.deprecated_features);
        v.child("model", &mut self.model);
        v.leaf("vendor", &mut self.vendor);
        v.child("topology", &mut self.topology);
        v.child("cache", &mut self.cache);
        v.child("maxphysaddr", &mut self.maxphysaddr);
        v.children("feature", &mut self.features);
        v.child("numa", &mut self.numa);
    }
}

impl Element for CpuCache {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("level", &mut self.level);
        v.attr("mode", &mut self.mode);
        if self.mode.is_none() {
            v.error("<cache> of <cpu> needs the attribute 'mode'".into());
        }
        if self.level.is_some_and(|level| !(1..=3).contains(&level)) {
            v.error("'level' of <cache> must be from 1 to 3".into());
        }
    }
}

impl Element for Maxphysaddr {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("mode", &mut self.mode);
        v.attr("bits", &mut self.bits);
        v.attr("limit", &mut self.limit);
        if self.mode.is_none() {
            v.error("<maxphysaddr> needs the attribute 'mode'".into());
        }
    }
}

impl Element for CpuModel {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("fallback", &mut self.fallback);
        v.attr("vendor_id", &mut self.vendor_id);
        let fits = |id: &String| {
            id.len() == 12 && id.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b',')
        };
        if self.vendor_id.as_ref().is_some_and(|id| !fits(id)) {
            v.error("'vendor_id' of <model> must be 12 letters without commas".into());
        }
        visit_as::<CpuWord>(&mut self.name, |name| v.text(name));
    }
}

impl CpuTopology {
    /// Returns the number of CPUs.
    pub fn cpus(&self) -> u64 {
        let parts = [
            self.sockets,
            self.cores,
            self.threads,
            self.dies.unwrap_or(1),
            self.clusters.unwrap_or(1),
        ];
        parts
            .into_iter()
            .map(u64::from)
            .fold(1, u64::saturating_mul)
    }
}

impl Default for CpuTopology {
    fn default() -> Self {
        Self {
            span: SourceSpan::default(),
            sockets: 1,
            dies: None,
            clusters: None,
            cores: 1,
            threads: 1,
        }
    }
}

impl Element for CpuTopology {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.required("sockets", &mut self.sockets);
        v.attr("dies", &mut self.dies);
        v.attr("clusters", &mut self.clusters);
        v.required("cores", &mut self.cores);
        v.required("threads", &mut self.threads);
        let parts = [
            self.sockets,
            self.cores,
            self.threads,
            self.dies.unwrap_or(1),
            self.clusters.unwrap_or(1),
        ];
        if parts.contains(&0) {
            v.error("each part of the <topology> must be above zero".into());
        }
    }
}

impl Element for CpuFeature {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("policy", &mut self.policy);
        let mut name = CpuWord::from(std::mem::take(&mut self.name));
        v.required("name", &mut name);
        self.name = name.into();
    }
}
