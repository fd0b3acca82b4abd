//! Whether this QEMU has what a domain's command line asks for.

use super::Capabilities;
use crate::command_line::{CommandLine, Opt, Style, Value, command_line};
use passthru_domain::{Domain, Error, Errors};
use std::collections::BTreeSet;

/// Devices and objects that came late, with the QEMU that brought them.
const SINCE: &[(&str, &str)] = &[
    ("iommufd", "8.2"),
    ("vfio-pci.iommufd", "8.2"),
    ("vfio-pci.fd", "8.2"),
    ("arm-smmuv3.primary-bus", "10.2"),
    ("arm-smmuv3.accel", "11.0"),
    ("arm-smmuv3.ats", "11.0"),
    ("arm-smmuv3.ril", "11.0"),
    ("arm-smmuv3.oas", "11.0"),
    ("arm-smmuv3.ssidsize", "11.0"),
    ("arm-smmuv3.cmdqv", "11.1"),
    ("virtio-iommu-pci", "5.1"),
    ("igb", "8.0"),
];

impl Capabilities {
    /// Checks that this QEMU has the machine, the devices and the objects that a complete domain needs.
    ///
    /// # Errors
    /// What is missing, with the version found and the one that has it.
    pub fn check(&self, domain: &Domain) -> Result<(), Errors> {
        let line =
            command_line(domain, self, Style::Managed).map_err(|e| Errors::from(as_domain_error(&e)))?;
        match self.missing(&line).into_iter().next() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn missing(&self, line: &CommandLine) -> Vec<Error> {
        let lacking: BTreeSet<String> =
            line.options.iter().flat_map(|option| self.lacking_of(option)).collect();
        lacking.into_iter().map(|what| self.error(&what)).collect()
    }

    /// The type of a device or object that is not there, or those of its properties that are not.
    fn lacking_of(&self, option: &Opt) -> Vec<String> {
        let (Value::Json(object), "-device" | "-object") = (&option.value, option.flag) else {
            return Vec::new();
        };
        let Some(driver) = option.driver() else { return Vec::new() };
        if !self.has_type(driver) {
            return vec![driver.to_owned()];
        }
        let members = object.0.iter().map(|(key, _)| *key);
        let properties = members.filter(|key| !matches!(*key, "driver" | "id" | "bus" | "qom-type"));
        let lacking = properties.filter(|key| !self.has_property(driver, key));
        lacking.map(|key| format!("{driver}.{key}")).collect()
    }

    fn error(&self, what: &str) -> Error {
        let message = match what.split_once('.') {
            Some((device, property)) => {
                format!("QEMU {} has no property '{property}' of device {device}", self.version())
            }
            None => format!("QEMU {} has no device or object {what}", self.version()),
        };
        let since = SINCE.iter().find(|(known, _)| *known == what);
        let error = Error::new(message);
        match since {
            Some((_, version)) => error.hint(format!("it needs QEMU {version} or later")),
            None => error,
        }
    }
}

fn as_domain_error(error: &crate::Error) -> Error {
    match error {
        crate::Error::Machine(error) => error.clone(),
        other => Error::new(other.to_string()),
    }
}
