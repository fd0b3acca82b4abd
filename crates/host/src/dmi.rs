//! The host's identity in its firmware's tables (DMI).

use std::collections::BTreeMap;

use crate::{Host, sysfs};

impl Host {
    /// Returns the values of the files in `/sys/class/dmi/id`, such as `sys_vendor`.
    ///
    /// Files that this process cannot read are left out: only root can read serial numbers. The map
    /// is empty if the firmware has no such tables.
    pub fn dmi(&self) -> BTreeMap<String, String> {
        let dir = self.path("sys/class/dmi/id");
        let mut values = BTreeMap::new();
        for name in sysfs::names(&dir) {
            if let Some(value) = sysfs::read(dir.join(&name)) {
                values.insert(name, value);
            }
        }

        values
    }
}

#[cfg(test)]
mod tests {
    use crate::test_tree::Tree;

    #[test]
    fn dmi_has_the_values_of_all_files() {
        let tree = Tree::new();
        tree.file("sys/class/dmi/id/sys_vendor", "Example, Inc.\n");
        tree.file("sys/class/dmi/id/product_sku", "\n");
        tree.file("sys/class/dmi/id/power/control", "auto\n");

        let expected = [("product_sku", ""), ("sys_vendor", "Example, Inc.")];
        let expected = expected.map(|(file, value)| (file.to_owned(), value.to_owned()));

        assert_eq!(tree.host().dmi(), expected.into());
        assert!(Tree::new().host().dmi().is_empty());
    }
}
