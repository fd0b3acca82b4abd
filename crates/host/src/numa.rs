//! The host's NUMA nodes.

use crate::{Host, sysfs};

impl Host {
    /// Returns the NUMA nodes, each with its CPUs as the kernel lists them (`0-3,8`); none where
    /// the kernel knows of no nodes.
    pub fn nodes(&self) -> Vec<(u32, String)> {
        let dir = self.path("sys/devices/system/node");
        let number = |name: &str| name.strip_prefix("node")?.parse::<u32>().ok();
        let numbers = sysfs::names(&dir)
            .into_iter()
            .filter_map(|name| number(&name));
        let cpus = |node: u32| sysfs::read(dir.join(format!("node{node}/cpulist")));
        numbers
            .filter_map(|node| Some((node, cpus(node)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::test_tree::Tree;

    #[test]
    fn nodes_have_the_cpus_that_the_kernel_lists() {
        let tree = Tree::new();
        tree.file("sys/devices/system/node/node0/cpulist", "0-3,8\n");
        tree.file("sys/devices/system/node/node2/cpulist", "\n");
        tree.file("sys/devices/system/node/possible", "0-2\n");
        assert_eq!(
            tree.host().nodes(),
            [(0, "0-3,8".to_owned()), (2, String::new())]
        );
        assert_eq!(Tree::new().host().nodes(), []);
    }
}
