//! Names of network interfaces across namespaces.

use std::collections::BTreeMap;

use super::route::RouteLookup;

/// Index of the host's own network namespace in the list of namespaces.
pub(super) const HOST: usize = 0;

/// A network interface: the index of its namespace in the list, and its own index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interface {
    pub(super) namespace: usize,
    pub(super) index: u32,
}

/// The outgoing interfaces that the kernel returned for route lookups, by namespace and lookup.
/// `None` if no route leads to the destination.
pub(super) type RouteAnswers = BTreeMap<(usize, RouteLookup), Option<u32>>;

impl Interface {
    pub(super) fn new(namespace: usize, index: u32) -> Self {
        Self { namespace, index }
    }
}
