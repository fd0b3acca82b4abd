//! Whether this QEMU has what a domain's command line asks for.

use std::collections::BTreeSet;

use passthru_domain::{Domain, Error, Errors};

use crate::capabilities::Capabilities;
use crate::command_line::command_line;
use crate::context::Style;
use crate::line::{Opt, Value};

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
    ("virtio-iommu", "5.1"),
    ("igb", "8.0"),
];

/// Names of devices that are none of a type: QEMU knows them by these.
const ALIASES: &[(&str, &str)] = &[
    ("ahci", "ich9-ahci"),
    ("lsi", "lsi53c895a"),
    ("virtio-iommu", "virtio-iommu-pci"),
];

impl Capabilities {
    /// Checks that this QEMU has the machine, the devices and the objects that a complete domain
    /// needs.
    ///
    /// # Errors
    /// Everything that is missing, with the version found and the one that has it.
    pub fn check(&self, domain: &Domain) -> Result<(), Errors> {
        let line = command_line(domain, self, Style::Managed)
            .map_err(|e| Errors::from(as_domain_error(&e)))?;
        let lacking: BTreeSet<String> = line
            .options
            .iter()
            .flat_map(|option| self.lacking_of(option))
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let lacking: Vec<_> = lacking.iter().map(|what| describe(what)).collect();
        let message = format!("QEMU {} has no {}", self.version(), lacking.join(", no "));
        Err(Error::new(message)
            .hint("install a newer QEMU, or name another one in <emulator>")
            .into())
    }

    /// The type of a device or object that is not there, or those of its properties that are not.
    fn lacking_of(&self, option: &Opt) -> Vec<String> {
        let (Value::Json(object), "-device" | "-object") = (&option.value, option.flag) else {
            return Vec::new();
        };
        let Some(driver) = option.driver() else {
            return Vec::new();
        };
        let kind = ALIASES
            .iter()
            .find(|(alias, _)| *alias == driver)
            .map_or(driver, |(_, kind)| kind);
        if !self.has_type(driver) && !self.has_type(kind) {
            return vec![driver.to_owned()];
        }
        let members = object.0.iter().map(|(key, _)| key.as_ref());
        let properties =
            members.filter(|key| !matches!(*key, "driver" | "id" | "bus" | "qom-type"));
        let lacking = properties.filter(|key| !self.has_property(kind, key));
        lacking.map(|key| format!("{driver}.{key}")).collect()
    }
}

/// Says what is lacking, and which QEMU brought it.
fn describe(what: &str) -> String {
    let name = match what.split_once('.') {
        Some((device, property)) => format!("property '{property}' of {device}"),
        None => what.to_owned(),
    };
    match SINCE.iter().find(|(known, _)| *known == what) {
        Some((_, version)) => format!("{name} (QEMU {version} or later has it)"),
        None => name,
    }
}

fn as_domain_error(error: &crate::Error) -> Error {
    match error {
        crate::Error::Machine(error) => error.clone(),
        other => Error::new(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::{Probed, Version};
    use passthru_domain::Backend;
    use std::collections::BTreeMap;

    /// A QEMU that has all that a guest with one assigned device needs, but for what is left out.
    fn without(missing: &str) -> Capabilities {
        let set = |names: &[&str]| {
            names
                .iter()
                .filter(|name| **name != missing)
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>()
        };
        Capabilities::from_probed(Probed {
            binary: "/usr/bin/qemu-system-x86_64".into(),
            target: "x86_64".into(),
            version: Version {
                major: 8,
                minor: 1,
                micro: 0,
            },
            machines: set(&["q35", "pc-q35-8.1", "pc"]),
            types: set(&[
                "iommufd",
                "vfio-pci",
                "pcie-root-port",
                "lsi53c895a",
                "memory-backend-ram",
                // An old bridge comes with the SCSI controller.
                "pcie-pci-bridge",
            ]),
            properties: BTreeMap::from([(
                "vfio-pci".into(),
                set(&["host", "fd", "iommufd", "addr"]),
            )]),
        })
        .unwrap()
    }

    fn check(missing: &str) -> Result<(), Errors> {
        let xml = "<domain type='kvm'><name>vm</name><memory>1048576</memory><os>\
            <type arch='x86_64' machine='q35'>hvm</type></os><iommufd enabled='yes'/><devices>\
            <controller type='usb' model='none'/><controller type='scsi' model='lsilogic'/>\
            <hostdev mode='subsystem' type='pci'><source><address bus='1' slot='0' function='0'/></source></hostdev>\
            <memballoon model='none'/></devices></domain>";
        // Completed for any QEMU, so that what is asked about is this one's share.
        let any = Capabilities::builtin(passthru_domain::Arch::X86_64);
        let mut domain = Domain::parse(xml).unwrap().complete(&any).unwrap();
        domain.settle_backend(Backend::Type1);
        without(missing).check(&domain)
    }

    fn refusal(missing: &str) -> (String, String) {
        let errors = check(missing).unwrap_err();
        let error = errors.iter().next().unwrap();
        (
            error.message.clone(),
            error.hint.clone().unwrap_or_default(),
        )
    }

    #[test]
    fn a_qemu_that_has_everything_is_taken() {
        assert_eq!(check(""), Ok(()));
    }

    #[test]
    fn all_that_is_missing_is_named_with_the_version_found_and_the_one_that_has_it() {
        assert_eq!(
            refusal("iommufd").0,
            "QEMU 8.1.0 has no iommufd (QEMU 8.2 or later has it), no property 'iommufd' of vfio-pci (QEMU 8.2 or \
             later has it)"
        );
        assert!(
            refusal("fd")
                .0
                .contains("no property 'fd' of vfio-pci (QEMU 8.2 or later has it)")
        );
    }

    #[test]
    fn message_about_an_old_qemu_is_quoted_in_the_docs() {
        let docs = include_str!("../../../docs/troubleshooting.md");
        let heading = docs
            .lines()
            .find(|line| line.starts_with("### `QEMU "))
            .unwrap();
        let quoted = heading.trim_start_matches("### ").trim_matches('`');
        assert!(refusal("iommufd").0.starts_with(quoted), "{quoted}");
    }

    #[test]
    fn a_machine_type_of_another_version_is_refused_with_those_there_are() {
        let (message, hint) = refusal("q35");
        assert!(message.contains("'q35'"), "{message}");
        assert!(
            hint.contains("pc-q35-8.1") && !hint.contains("i440fx"),
            "{hint}"
        );
    }

    #[test]
    fn a_device_is_also_known_by_its_alias() {
        let (message, _) = refusal("lsi53c895a");
        assert_eq!(message, "QEMU 8.1.0 has no lsi");
    }
}
