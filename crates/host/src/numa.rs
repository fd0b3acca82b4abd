//! The host's NUMA nodes.

use crate::{Host, sysfs};

impl Host {
    /// Lists the NUMA nodes, each with its CPUs as the kernel prints them (`0-3,8`). The list is
    /// empty if the kernel reports no nodes.
    pub fn numa_nodes(&self) -> Vec<(u32, String)> {
        let dir = self.path("sys/devices/system/node");
        let mut nodes = Vec::new();
        for name in sysfs::names(&dir) {
            let number = name.strip_prefix("node").and_then(|text| text.parse().ok());
            let cpus = sysfs::read(dir.join(&name).join("cpulist"));
            nodes.extend(number.zip(cpus));
        }

        nodes
    }
}

#[cfg(test)]
mod tests {
    use crate::test_tree::Tree;

    #[test]
    fn nodes_are_listed_with_their_cpus() {
        let tree = Tree::new();
        tree.file("sys/devices/system/node/node0/cpulist", "0-3,8\n");
        tree.file("sys/devices/system/node/node2/cpulist", "\n");
        tree.file("sys/devices/system/node/possible", "0-2\n");

        assert_eq!(
            tree.host().numa_nodes(),
            [(0, "0-3,8".to_owned()), (2, String::new())]
        );
        assert_eq!(Tree::new().host().numa_nodes(), []);
    }
}
