//! Says what cannot work, all of it at once, each with its place and what to do.
//!
//! What is wrong with the text itself (unknown words, missing parts) is said when it is read; what
//! the host or the emulator at hand lacks is said by those who know them.

mod addresses;
mod boot;
mod chardevs;
mod clock;
mod controllers;
mod cpu;
mod disk_types;
mod disks;
mod features;
mod hostdev_types;
mod hostdevs;
mod ids;
mod interfaces;
mod iommus;
mod iothreads;
mod memory;
mod notes;
mod numa;
mod pci;
mod pci_targets;
mod peripherals;
mod security;
mod shared_memory;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::bounded::Bounded;
use crate::error::{Error, Errors};
use crate::model::device::{ControllerType, Info};
use crate::model::domain::Domain;
use crate::platform::{Machine, Platform};
use crate::xml::span::SourceSpan;

impl Domain {
    /// Looks for what cannot work in a completed domain.
    ///
    /// # Errors
    /// Everything that was found, in the order of the source.
    pub fn validate(&self, platform: &dyn Platform) -> Result<(), Errors> {
        let machine = Machine::for_domain(self, platform)?;
        Errors::check(check(self, &machine))
    }
}

/// Returns all that is wrong with a domain on this machine.
pub(crate) fn check(domain: &Domain, machine: &Machine) -> Bounded<Error> {
    let controllers = domain
        .devices
        .controllers
        .iter()
        .filter_map(|c| Some((c.kind?, c.index?)));
    let controllers = controllers.collect();
    let mut check = Check {
        domain,
        machine,
        controllers,
        errors: Bounded::default(),
    };
    memory::check(&mut check);
    numa::check(&mut check);
    cpu::check(&mut check);
    boot::check(&mut check);
    features::check(&mut check);
    clock::check(&mut check);
    iothreads::check(&mut check);
    security::check(&mut check);
    controllers::check(&mut check);
    addresses::check(&mut check);
    pci::check(&mut check);
    disks::check(&mut check);
    chardevs::check(&mut check);
    peripherals::check(&mut check);
    shared_memory::check(&mut check);
    hostdevs::check(&mut check);
    hostdev_types::check(&mut check);
    iommus::check(&mut check);
    interfaces::check(&mut check);
    ids::check(&mut check);
    // Stable: what has no place of its own comes first, in the order of the checks.
    check.errors.sort();
    check.errors
}

/// What the checks look at, and what they found.
struct Check<'a> {
    domain: &'a Domain,
    machine: &'a Machine,
    /// Kinds and indexes of the controllers.
    controllers: HashSet<(ControllerType, u32)>,
    errors: Bounded<Error>,
}

impl Check<'_> {
    fn error(&mut self, span: &SourceSpan, message: String) {
        self.errors.push(Error::new(message).at(span.0.clone()));
    }

    /// Whether the guest has the controller of a kind and index.
    fn has_controller(&self, kind: ControllerType, index: u32) -> bool {
        self.controllers.contains(&(kind, index))
    }

    /// Whether the guest has this NUMA node.
    fn has_node(&self, node: u32) -> bool {
        let numa = self.domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref());
        numa.is_some_and(|numa| numa.cells.iter().any(|cell| cell.id == Some(node)))
    }

    fn error_with_hint(&mut self, span: &SourceSpan, message: String, hint: &str) {
        self.errors
            .push(Error::new(message).at(span.0.clone()).hint(hint));
    }
}

/// Goes through the pairs of a list whose keys are equal: each later one with the first of its key.
fn duplicates<K: Hash + Eq, T: Clone>(items: impl IntoIterator<Item = (K, T)>) -> Vec<(T, T)> {
    let mut firsts: HashMap<K, T> = HashMap::new();
    let mut pairs = Vec::new();
    for (key, item) in items {
        match firsts.entry(key) {
            Entry::Occupied(first) => pairs.push((first.get().clone(), item)),
            Entry::Vacant(free) => {
                free.insert(item);
            }
        }
    }
    pairs
}

/// Where a device stands, for an error about it.
fn span_of(info: Option<&Info>) -> SourceSpan {
    info.map(|i| i.span.clone()).unwrap_or_default()
}
