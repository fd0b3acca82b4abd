//! Which CPUs of the host are on which of its NUMA nodes.

use passthru_domain::IdSet;

/// CPUs of a node of the placeholder.
const CPUS_A_NODE: u32 = 4;

/// The host's nodes. A line that is made without looking at a host has placeholders for it, as for
/// descriptors: nodes of four CPUs each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Nodes(Option<Vec<(u32, IdSet)>>);

impl Nodes {
    pub(crate) const fn placeholder() -> Self {
        Self(None)
    }

    pub(crate) const fn of(nodes: Vec<(u32, IdSet)>) -> Self {
        Self(Some(nodes))
    }

    /// Returns the nodes that some of these CPUs are on.
    pub(crate) fn of_cpus(&self, cpus: &IdSet) -> IdSet {
        let Some(nodes) = &self.0 else {
            return IdSet::of(cpus.iter().map(|cpu| cpu / CPUS_A_NODE));
        };
        let has_some = |(_, of_node): &&(u32, IdSet)| of_node.iter().any(|cpu| cpus.contains(cpu));
        IdSet::of(nodes.iter().filter(has_some).map(|(node, _)| *node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> IdSet {
        text.parse().unwrap()
    }

    #[test]
    fn cpus_are_on_the_nodes_that_the_host_has() {
        let nodes = Nodes::of(vec![(0, set("0-1,4-5")), (2, set("2-3"))]);
        assert_eq!(nodes.of_cpus(&set("1")).to_string(), "0");
        assert_eq!(nodes.of_cpus(&set("0-3")).to_string(), "0,2");
        assert!(nodes.of_cpus(&set("9")).is_empty());
        assert_eq!(Nodes::placeholder().of_cpus(&set("3,8")).to_string(), "0,2");
    }
}
