//! The host's identity in its firmware's tables (DMI), for `<smbios mode='host'/>`.

use std::collections::BTreeMap;

/// An SMBIOS table of the guest: its type, and the fields that are copied from the host.
pub(crate) struct DmiTable {
    pub(crate) number: u32,
    /// Pairs of a file of `/sys/class/dmi/id` and QEMU's word.
    pub(crate) fields: &'static [(&'static str, &'static str)],
}

/// The tables in their order. The host's UUID is not copied: the guest has its own.
pub(crate) const TABLES: [DmiTable; 2] = [
    DmiTable {
        number: 0,
        fields: &[
            ("bios_vendor", "vendor"),
            ("bios_version", "version"),
            ("bios_date", "date"),
        ],
    },
    DmiTable {
        number: 1,
        fields: &[
            ("sys_vendor", "manufacturer"),
            ("product_name", "product"),
            ("product_version", "version"),
            ("product_serial", "serial"),
            ("product_sku", "sku"),
            ("product_family", "family"),
        ],
    },
];

/// Values of the host's DMI by their files in `/sys/class/dmi/id`. A command line that is made
/// without a host has placeholders: `@sys_vendor@` and the like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dmi(Option<BTreeMap<String, String>>);

impl Dmi {
    pub(crate) const fn placeholder() -> Self {
        Self(None)
    }

    pub(crate) const fn new(values: BTreeMap<String, String>) -> Self {
        Self(Some(values))
    }

    /// Returns whether the values are placeholders.
    pub(crate) const fn is_placeholder(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the value of a file; `None` if the host has none.
    pub(crate) fn value(&self, file: &str) -> Option<String> {
        let Some(values) = &self.0 else {
            return Some(format!("@{file}@"));
        };
        let value = values.get(file)?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_of_the_host_are_left_out() {
        let values = [("sys_vendor", "Example, Inc.\n"), ("product_sku", " ")];
        let values = values.map(|(file, value)| (file.to_owned(), value.to_owned()));
        let dmi = Dmi::new(values.into());
        assert_eq!(dmi.value("sys_vendor").as_deref(), Some("Example, Inc."));
        assert_eq!(dmi.value("product_sku"), None);
        assert_eq!(dmi.value("product_name"), None);

        let placeholder = Dmi::placeholder().value("product_name");
        assert_eq!(placeholder.as_deref(), Some("@product_name@"));
    }
}
