//! The host's NUMA nodes and their CPUs.

use passthru_domain::IdSet;

/// Number of CPUs in each placeholder node.
const CPUS_A_NODE: u32 = 4;

/// The host's NUMA nodes. A command line that is made without a host has placeholders: nodes of
/// four CPUs each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Nodes(Option<Vec<(u32, IdSet)>>);

impl Nodes {
    pub(crate) const fn placeholder() -> Self {
        Self(None)
    }

    pub(crate) const fn new(nodes: Vec<(u32, IdSet)>) -> Self {
        Self(Some(nodes))
    }

    /// Returns the nodes that have at least one of these CPUs.
    pub(crate) fn of_cpus(&self, cpus: &IdSet) -> IdSet {
        let Some(nodes) = &self.0 else {
            return IdSet::from_ids(cpus.iter().map(|cpu| cpu / CPUS_A_NODE));
        };
        let nodes = nodes
            .iter()
            .filter(|(_, own)| own.iter().any(|cpu| cpus.contains(cpu)));
        IdSet::from_ids(nodes.map(|(node, _)| *node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> IdSet {
        text.parse().unwrap()
    }

    #[test]
    fn cpus_are_mapped_to_the_nodes_of_the_host() {
        let nodes = Nodes::new(vec![(0, set("0-1,4-5")), (2, set("2-3"))]);
        assert_eq!(nodes.of_cpus(&set("1")).to_string(), "0");
        assert_eq!(nodes.of_cpus(&set("0-3")).to_string(), "0,2");
        assert!(nodes.of_cpus(&set("9")).is_empty());
        assert_eq!(Nodes::placeholder().of_cpus(&set("3,8")).to_string(), "0,2");
    }
}
