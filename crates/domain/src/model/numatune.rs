//! `<numatune>`: from which NUMA nodes of the host the guest's memory comes.

use crate::model::idset::IdSet;
use crate::model::vcpu::Placement;
use crate::xml::span::SourceSpan;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// How strictly memory comes from the nodes.
    pub enum MemoryMode {
        /// From them or not at all.
        Strict = "strict",
        /// From them, else from others.
        Preferred = "preferred",
        /// From each in turn.
        Interleave = "interleave",
        /// As control groups say, and the emulator is told nothing.
        Restrictive = "restrictive",
    }
}

/// `<numatune>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numatune {
    /// For the whole guest.
    pub memory: Option<MemoryTune>,
    /// For single nodes of the guest.
    pub memnodes: Vec<Memnode>,
}

/// `<memory>` of `<numatune>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryTune {
    /// Where the element stands.
    pub span: SourceSpan,
    /// How strictly.
    pub mode: Option<MemoryMode>,
    /// The host's nodes.
    pub nodeset: Option<IdSet>,
    /// Who chooses the nodes.
    pub placement: Option<Placement>,
}

/// `<memnode>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memnode {
    /// Where the element stands.
    pub span: SourceSpan,
    /// The guest's node.
    pub cellid: u32,
    /// How strictly.
    pub mode: Option<MemoryMode>,
    /// The host's nodes.
    pub nodeset: IdSet,
}

impl Numatune {
    /// Returns mode and nodes of the host for a node of the guest, or for the whole guest (no
    /// node).
    pub fn of_node(&self, node: Option<u32>) -> Option<(MemoryMode, &IdSet)> {
        let own = self.memnodes.iter().find(|own| Some(own.cellid) == node);
        let own = own.map(|own| (own.mode.unwrap_or(MemoryMode::Strict), &own.nodeset));
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
        // What is static is seen by its nodes.
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
