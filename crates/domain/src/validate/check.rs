//! The context that all checks share.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::bounded::Bounded;
use crate::error::Error;
use crate::model::device::{ControllerType, Info};
use crate::model::domain::Domain;
use crate::platform::Machine;
use crate::xml::span::SourceSpan;

/// A domain under validation, with the errors found so far.
pub(super) struct Check<'a> {
    pub(super) domain: &'a Domain,
    pub(super) machine: &'a Machine,
    pub(super) errors: Bounded<Error>,
    /// Kinds and indexes of the controllers.
    controllers: HashSet<(ControllerType, u32)>,
}

impl<'a> Check<'a> {
    /// Creates the context of a domain, without errors.
    pub(super) fn new(domain: &'a Domain, machine: &'a Machine) -> Self {
        let controllers = domain.devices.controllers.iter();
        Self {
            domain,
            machine,
            errors: Bounded::default(),
            controllers: controllers
                .filter_map(|c| Some((c.kind?, c.index?)))
                .collect(),
        }
    }

    /// Adds an error.
    pub(super) fn error(&mut self, span: &SourceSpan, message: String) {
        self.errors.push(Error::new(message).at(span.0.clone()));
    }

    /// Adds an error with advice, an imperative.
    pub(super) fn error_with_hint(&mut self, span: &SourceSpan, message: String, hint: &str) {
        let error = Error::new(message).at(span.0.clone());
        self.errors.push(error.hint(hint));
    }

    /// Returns whether the guest has the controller of a kind and index.
    pub(super) fn has_controller(&self, kind: ControllerType, index: u32) -> bool {
        self.controllers.contains(&(kind, index))
    }

    /// Returns whether the guest has this NUMA node.
    pub(super) fn has_node(&self, node: u32) -> bool {
        let numa = self.domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref());
        numa.is_some_and(|numa| numa.cells.iter().any(|cell| cell.id == Some(node)))
    }
}

/// Returns the pairs of items with equal keys: each later item with the first one of its key.
pub(super) fn duplicates<K: Hash + Eq, T: Clone>(
    items: impl IntoIterator<Item = (K, T)>,
) -> Vec<(T, T)> {
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

/// Returns the source position of a device.
pub(super) fn span_of(info: Option<&Info>) -> SourceSpan {
    info.map(|i| i.span.clone()).unwrap_or_default()
}
