//! The nodes by which a process opens groups through VFIO's type1 container.

use crate::device::DeviceNumber;
use crate::{Device, Error, Host};

/// A node below `/dev/vfio` that a process opens for type1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VfioNode {
    /// Name below `/dev/vfio`: `vfio` for the container, else the number of a group.
    pub name: String,
    /// Major number of the character device.
    pub major: u32,
    /// Minor number of the character device.
    pub minor: u32,
}

impl Host {
    /// Checks that the kernel offers type1, without loading a module. If VFIO is not loaded, the
    /// kernel may offer it later, and the check passes.
    ///
    /// # Errors
    /// If VFIO has no container or no groups, then [`Error::NoType1`].
    pub fn check_type1(&self) -> Result<(), Error> {
        let is_loaded = self.path("sys/class/vfio-dev").exists() || self.has_groups_of_vfio();
        if is_loaded && !self.has_type1() {
            return Err(Error::NoType1);
        }
        Ok(())
    }

    /// Checks that the kernel offers type1, after loading VFIO's modules.
    ///
    /// # Errors
    /// - If the host has no IOMMU groups, then [`Error::NoIommu`].
    /// - If VFIO has no container or no groups, then [`Error::NoType1`].
    pub fn require_type1(&self) -> Result<(), Error> {
        if !self.has_groups() {
            return Err(Error::NoIommu);
        }
        for module in ["vfio", "vfio_iommu_type1"] {
            if !self.path("sys/module").join(module).exists() {
                let answer = self.modprobe(module);
                tracing::debug!(module, answer, "modprobe");
            }
        }

        if self.has_type1() {
            Ok(())
        } else {
            Err(Error::NoType1)
        }
    }

    /// Returns the nodes by which a process opens devices through type1: the container's, then
    /// that of each group once. The devices are on VFIO drivers.
    ///
    /// # Errors
    /// - If the kernel has no container, then [`Error::NoType1`].
    /// - If a device has no group, or VFIO does not have the group, then [`Error::NoGroup`].
    pub fn type1_nodes(&self, devices: &[Device]) -> Result<Vec<VfioNode>, Error> {
        let container = self.vfio_node("misc", "vfio").ok_or(Error::NoType1)?;
        let mut nodes = vec![container];
        for device in devices {
            let group = device.group.map(|group| group.to_string());
            let node = group.and_then(|group| self.vfio_node("vfio", &group));
            let node = node.ok_or_else(|| Error::NoGroup {
                device: device.address,
                others_have: self.has_groups(),
            })?;
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }

        Ok(nodes)
    }

    /// Returns the node of a character device in a class of sysfs.
    fn vfio_node(&self, class: &str, name: &str) -> Option<VfioNode> {
        let dir = self.path("sys/class").join(class).join(name);
        match DeviceNumber::read_char(&dir)? {
            DeviceNumber::Char(major, minor) => Some(VfioNode {
                name: name.into(),
                major,
                minor,
            }),
            DeviceNumber::Block(..) => None,
        }
    }

    /// Returns whether VFIO has the container: its own, or the one that iommufd has in its place
    /// (`CONFIG_IOMMUFD_VFIO_CONTAINER`).
    fn has_type1(&self) -> bool {
        self.path("sys/class/misc/vfio").exists() && self.has_groups_of_vfio()
    }

    /// Returns whether VFIO is loaded with `CONFIG_VFIO_GROUP`.
    fn has_groups_of_vfio(&self) -> bool {
        self.path("sys/class/vfio").exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tree::Tree;

    #[test]
    fn kernel_without_container_or_groups_has_no_type1() {
        let tree = Tree::new();
        tree.host().check_type1().unwrap();
        assert!(matches!(tree.host().require_type1(), Err(Error::NoIommu)));

        tree.dir("sys/kernel/iommu_groups/0");
        tree.dir("sys/class/vfio-dev");
        assert!(matches!(tree.host().check_type1(), Err(Error::NoType1)));
        assert!(matches!(tree.host().require_type1(), Err(Error::NoType1)));

        tree.dir("sys/class/vfio");
        assert!(matches!(tree.host().check_type1(), Err(Error::NoType1)));

        tree.dir("sys/class/misc/vfio");
        tree.host().check_type1().unwrap();
        tree.host().require_type1().unwrap();
    }

    #[test]
    fn nodes_are_the_container_and_each_group_once() {
        let tree = Tree::new();
        for (address, group) in [
            ("0000:01:00.0", 12),
            ("0000:01:00.1", 12),
            ("0000:02:00.0", 9),
        ] {
            tree.pci(address, 0x010802);
            tree.place(address, Some("vfio-pci"), group);
        }

        tree.file("sys/class/misc/vfio/dev", "10:196\n");
        tree.file("sys/class/vfio/12/dev", "510:0\n");
        let devices = tree.host().devices();
        let first = tree.host().type1_nodes(&devices[..2]).unwrap();
        let names: Vec<_> = first
            .iter()
            .map(|node| (node.name.as_str(), node.major, node.minor))
            .collect();

        assert_eq!(names, [("vfio", 10, 196), ("12", 510, 0)]);

        let absent = tree.host().type1_nodes(&devices);
        assert!(
            matches!(absent, Err(Error::NoGroup { .. })),
            "VFIO does not have group 9: {absent:?}"
        );
    }
}
