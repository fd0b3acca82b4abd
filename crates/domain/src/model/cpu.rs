//! `<cpu>`: the CPU model, topology and features that the guest sees.

use crate::model::numa::Numa;
use crate::xml::span::SourceSpan;
use crate::xml::text::{CpuWord, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The origin of the CPU model.
    pub enum CpuMode {
        /// The model that `<model>` names.
        Custom = "custom",
        /// The named model that is nearest to the host's CPU.
        HostModel = "host-model",
        /// The host's CPU, unchanged.
        HostPassthrough = "host-passthrough",
        /// All features that the emulator can offer.
        Maximum = "maximum",
    }
}

words! {
    /// The comparison of the host's CPU with the requested one.
    pub enum CpuMatch {
        /// The host's CPU has at least the requested features.
        Minimum = "minimum",
        /// The host's CPU has the requested features; the guest sees only those.
        Exact = "exact",
        /// The host's CPU has exactly the requested features.
        Strict = "strict",
    }
}

words! {
    /// The check that the host provides the requested CPU.
    pub enum CpuCheck {
        /// No check.
        None = "none",
        /// A check before the start.
        Partial = "partial",
        /// A check before and after the start.
        Full = "full",
    }
}

words! {
    /// The rule for one CPU feature.
    pub enum FeaturePolicy {
        /// The guest has the feature, even if the host does not.
        Force = "force",
        /// The guest has the feature; the host must have it.
        Require = "require",
        /// The guest has the feature if the host has it.
        Optional = "optional",
        /// The guest does not have the feature.
        Disable = "disable",
        /// The guest does not start if the host has the feature.
        Forbid = "forbid",
    }
}

/// `<cpu>`: the CPU of the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Origin of the model.
    pub mode: Option<CpuMode>,
    /// Comparison with the host's CPU.
    pub matching: Option<CpuMatch>,
    /// Check that the host provides the CPU.
    pub check: Option<CpuCheck>,
    /// Omission of features that block migration.
    pub migratable: Option<bool>,
    /// Presence of features that a later machine will not have (Z).
    pub deprecated_features: Option<bool>,
    /// Named CPU model.
    pub model: Option<CpuModel>,
    /// Vendor that the host's CPU must have.
    pub vendor: Option<String>,
    /// Numbers of sockets, cores and threads.
    pub topology: Option<CpuTopology>,
    /// CPU caches that the guest sees.
    pub cache: Option<CpuCache>,
    /// Width of physical addresses.
    pub maxphysaddr: Option<Maxphysaddr>,
    /// Rules for single features.
    pub features: Vec<CpuFeature>,
    /// NUMA nodes.
    pub numa: Option<Numa>,
}

words! {
    /// The CPU caches that the guest sees.
    pub enum CpuCacheMode {
        /// Emulated caches.
        Emulate = "emulate",
        /// The host's caches.
        Passthrough = "passthrough",
        /// No caches.
        Disable = "disable",
    }
}

/// `<cache>` of `<cpu>`: the CPU caches that the guest sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuCache {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Level of the cache, 1 to 3; absent for all levels.
    pub level: Option<u32>,
    /// Origin of the cache information.
    pub mode: Option<CpuCacheMode>,
}

words! {
    /// The origin of the width of physical addresses.
    pub enum MaxphysaddrMode {
        /// The given number of bits, or the emulator's default.
        Emulate = "emulate",
        /// The width of the host's CPU.
        Passthrough = "passthrough",
    }
}

/// `<maxphysaddr>`: the width of physical addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maxphysaddr {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Origin of the width.
    pub mode: Option<MaxphysaddrMode>,
    /// Number of bits, for `emulate`.
    pub bits: Option<u32>,
    /// Largest number of bits, for `passthrough`.
    pub limit: Option<u32>,
}

/// `<model>` of `<cpu>`: a named CPU model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuModel {
    /// Permission to use a similar model instead.
    pub fallback: Option<Fallback>,
    /// Vendor id that the guest sees: 12 printable characters, no comma.
    pub vendor_id: Option<String>,
    /// Name of the model.
    pub name: Option<String>,
}

words! {
    /// The permission to use a similar CPU model.
    pub enum Fallback {
        /// A similar model is allowed.
        Allow = "allow",
        /// Only the named model is allowed.
        Forbid = "forbid",
    }
}

/// `<topology>`. The product of the numbers is the number of CPUs.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuTopology {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Number of sockets.
    pub sockets: u32,
    /// Dies per socket.
    pub dies: Option<u32>,
    /// Clusters per die.
    pub clusters: Option<u32>,
    /// Cores per cluster.
    pub cores: u32,
    /// Threads per core.
    pub threads: u32,
}

/// `<feature>` of `<cpu>`: a rule for one feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuFeature {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Rule for the feature.
    pub policy: Option<FeaturePolicy>,
    /// Name of the feature.
    pub name: String,
}

impl CpuFeature {
    /// Returns whether the feature is a vector length of Arm's SVE in bits (`sve512`).
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
        if self
            .vendor_id
            .as_deref()
            .is_some_and(|id| !is_vendor_id(id))
        {
            v.error("'vendor_id' of <model> must be 12 letters without commas".into());
        }

        visit_as::<CpuWord>(&mut self.name, |name| v.text(name));
    }
}

fn is_vendor_id(id: &str) -> bool {
    id.len() == 12 && id.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b',')
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
