//! The check that a QEMU has what a domain's command line uses.

use std::collections::BTreeSet;
use std::ops::Range;

use passthru_domain::{Domain, Error, Errors};

use crate::capabilities::Capabilities;
use crate::command_line::Parts;
use crate::context::Style;
use crate::line::{Opt, Value};

/// Devices, objects and properties (`device.property`), with the first QEMU that has them.
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
    ("uefi-vars-x64", "10.0"),
    ("uefi-vars-sysbus", "10.0"),
];

/// Aliases of devices, with the name of the type.
const ALIASES: &[(&str, &str)] = &[
    ("ahci", "ich9-ahci"),
    ("lsi", "lsi53c895a"),
    ("virtio-iommu", "virtio-iommu-pci"),
];

impl Capabilities {
    /// Checks that this QEMU has the machine type, the devices, the objects and the properties that
    /// a complete domain needs.
    ///
    /// # Errors
    /// The errors of [`command_line`](crate::command_line()), and one error that lists all that is
    /// missing, with the QEMU version that has it. Its position is that of the first device that
    /// misses something, or else of `<domain>`.
    pub fn check(&self, domain: &Domain) -> Result<(), Errors> {
        let parts = Parts::new(domain, self, Style::Managed)?;
        let mut errors = parts.errors;
        let mut lacking: BTreeSet<String> = BTreeSet::new();
        let mut first = None;
        for option in &parts.options {
            let found = self.lacking_of(option);
            if !found.is_empty() && first.is_none() {
                first = span_of(domain, option);
            }
            lacking.extend(found);
        }

        errors.extend(mixed_backends(domain));
        if !lacking.is_empty() {
            let lacking: Vec<_> = lacking.iter().map(|what| describe(what)).collect();
            let message = format!("QEMU {} has no {}", self.version(), lacking.join(", no "));
            let error = Error::new(message).at(first.or_else(|| domain.span.0.clone()));
            errors.push(error.hint("install a newer QEMU, or name another one in <emulator>"));
        }

        Errors::check_all(errors)
    }

    /// Returns the type of an option's device or object if this QEMU lacks it, else the properties
    /// that it lacks.
    fn lacking_of(&self, option: &Opt) -> Vec<String> {
        let Value::Json(object) = &option.value else {
            return Vec::new();
        };
        if !matches!(option.flag, "-device" | "-object") {
            return Vec::new();
        }
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

/// Returns the error of a domain that mixes backends where QEMU cannot.
///
/// QEMU looks for a container among those of the address space, and takes each for one of its own
/// backend (`iommufd_cdev_attach`, `vfio_container_connect`). QEMU 11.1 then aborts, also at a
/// hotplug.
fn mixed_backends(domain: &Domain) -> Option<Error> {
    let (by_iommufd, by_type1) = domain.mixed_backends()?;
    let message = format!(
        "hostdev {} is on iommufd and hostdev {} on type1: QEMU ends at such a mixture",
        by_iommufd.host_name(),
        by_type1.host_name()
    );
    let error = Error::new(message).at(by_type1.info.span.0.clone());
    Some(error.hint("set the same iommufd='yes' or 'no' in <driver> of both devices"))
}

/// Names a missing device, object or property, with the first QEMU that has it.
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

/// Returns the source position of the device that an option has the id of.
fn span_of(domain: &Domain, option: &Opt) -> Option<Range<usize>> {
    let id = option.id()?;
    let devices = &domain.devices;
    let mut infos = devices
        .items()
        .into_iter()
        .filter_map(|item| devices.info(item));
    infos.find(|info| info.id() == id)?.span.0.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::{Probed, Version};
    use passthru_domain::Backend;
    use std::collections::BTreeMap;

    /// Returns a QEMU that has all that a guest with one assigned device needs, except one name.
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

    fn hostdev(iommufd: &str, bus: u8) -> String {
        format!(
            "<hostdev mode='subsystem' type='pci'><driver iommufd='{iommufd}'/>\
             <source><address bus='{bus}' slot='0' function='0'/></source></hostdev>"
        )
    }

    #[test]
    fn backends_are_mixed_behind_an_emulated_iommu_alone() {
        let any = Capabilities::builtin(passthru_domain::Arch::X86_64);
        for (first, second, iommu, is_refused) in [
            ("yes", "no", "", true),
            ("no", "yes", "", true),
            ("no", "no", "", false),
            ("yes", "yes", "", false),
            ("no", "yes", "<iommu model='intel'/>", false),
        ] {
            let hostdevs = hostdev(first, 1) + &hostdev(second, 2);
            let xml = format!(
                "<domain type='kvm'><name>vm</name><memory>1048576</memory><os>\
                 <type arch='x86_64' machine='q35'>hvm</type></os><devices>{hostdevs}{iommu}\
                 </devices></domain>"
            );
            let domain = Domain::parse(&xml).unwrap().complete(&any).unwrap();
            let checked = any.check(&domain);
            assert_eq!(checked.is_err(), is_refused, "{first} {second} {iommu}");
        }
    }

    fn check(missing: &str) -> Result<(), Errors> {
        let xml = "<domain type='kvm'><name>vm</name><memory>1048576</memory><os>\
            <type arch='x86_64' machine='q35'>hvm</type></os><iommufd enabled='yes'/><devices>\
            <controller type='usb' model='none'/><controller type='scsi' model='lsilogic'/>\
            <hostdev mode='subsystem' type='pci'>\
            <source><address bus='1' slot='0' function='0'/></source></hostdev>\
            <memballoon model='none'/></devices></domain>";
        // Completed for any QEMU: the errors then come from the check alone.
        let any = Capabilities::builtin(passthru_domain::Arch::X86_64);
        let mut domain = Domain::parse(xml).unwrap().complete(&any).unwrap();
        domain.set_default_backend(Backend::Type1);
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
    fn qemu_with_everything_is_accepted() {
        assert_eq!(check(""), Ok(()));
    }

    #[test]
    fn everything_missing_is_named_with_versions() {
        assert_eq!(
            refusal("iommufd").0,
            "QEMU 8.1.0 has no iommufd (QEMU 8.2 or later has it), \
             no property 'iommufd' of vfio-pci (QEMU 8.2 or later has it)"
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
    fn unknown_machine_type_is_refused_with_known_ones() {
        let (message, hint) = refusal("q35");
        assert!(message.contains("'q35'"), "{message}");
        assert!(
            hint.contains("pc-q35-8.1") && !hint.contains("i440fx"),
            "{hint}"
        );
    }

    #[test]
    fn device_is_also_known_by_its_alias() {
        let (message, _) = refusal("lsi53c895a");
        assert_eq!(message, "QEMU 8.1.0 has no lsi");
    }
}
