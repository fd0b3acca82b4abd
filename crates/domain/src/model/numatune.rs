//! `<numatune>`: NUMA nodes of the host for the guest's memory.

use crate::model::idset::IdSet;
use crate::model::vcpu::Placement;
use crate::xml::span::SourceSpan;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The policy for the choice among the host's NUMA nodes.
    pub enum MemoryMode {
        /// Only the given nodes.
        Strict = "strict",
        /// The given nodes, others if those are full.
        Preferred = "preferred",
        /// The given nodes in turn.
        Interleave = "interleave",
        /// The nodes of the control group; the emulator gets no option.
        Restrictive = "restrictive",
    }
}

/// `<numatune>`: NUMA nodes of the host for the guest's memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numatune {
    /// Nodes for the whole guest.
    pub memory: Option<MemoryTune>,
    /// Nodes for single NUMA nodes of the guest.
    pub memnodes: Vec<Memnode>,
}

/// `<memory>` of `<numatune>`: nodes for the whole guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryTune {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Policy for the choice among the nodes.
    pub mode: Option<MemoryMode>,
    /// NUMA nodes of the host.
    pub nodeset: Option<IdSet>,
    /// Chooser of the nodes.
    pub placement: Option<Placement>,
}

/// `<memnode>`: nodes for one NUMA node of the guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memnode {
    /// Source position of the element.
    pub span: SourceSpan,
    /// NUMA node of the guest.
    pub cellid: u32,
    /// Policy for the choice among the nodes.
    pub mode: Option<MemoryMode>,
    /// NUMA nodes of the host.
    pub nodeset: IdSet,
}

impl Numatune {
    /// Returns the policy and the host's nodes for a NUMA node of the guest, or for the whole guest
    /// (`None`). A node without a `<memnode>` has those of the whole guest.
    pub fn for_node(&self, node: Option<u32>) -> Option<(MemoryMode, &IdSet)> {
        let memnode = self
            .memnodes
            .iter()
            .find(|memnode| Some(memnode.cellid) == node);
        let own =
            memnode.map(|memnode| (memnode.mode.unwrap_or(MemoryMode::Strict), &memnode.nodeset));
        own.or_else(|| {
            let all = self.memory.as_ref()?;
            Some((
                all.mode.unwrap_or(MemoryMode::Strict),
                all.nodeset.as_ref()?,
            ))
        })
    }
}

impl Element for Numatune {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("memory", &mut self.memory);
        v.children("memnode", &mut self.memnodes);
    }
}

impl Element for MemoryTune {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("mode", &mut self.mode);
        v.attr("nodeset", &mut self.nodeset);
        // A static placement is not written: the nodes imply it.
        let mut placement = self
            .placement
            .filter(|placement| v.reading() || *placement == Placement::Auto);
        v.attr("placement", &mut placement);
        self.placement = self.placement.or(placement);
    }
}

impl Element for Memnode {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.required("cellid", &mut self.cellid);
        v.attr("mode", &mut self.mode);
        v.required("nodeset", &mut self.nodeset);
    }
}
