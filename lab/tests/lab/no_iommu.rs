//! A device without an IOMMU is refused, even if an operator bound it to VFIO by hand.

use std::fs;
use std::process::Command;

use passthru_lab::devices::NO_IOMMU;
use passthru_lab::{NoIommuDevice, host, run};

use crate::commands::{driver, names, passthru, refused, sysfs};

#[test]
fn device_without_group_is_refused_and_listed() {
    let _host = host();
    for arguments in [&["bind", NO_IOMMU][..], &["bind", "--force", NO_IOMMU]] {
        let said = refused(arguments);
        assert!(
            said.contains(&format!("{NO_IOMMU} has no IOMMU group")),
            "{said}"
        );
    }

    let list = passthru(&["list", NO_IOMMU]).expect_success().stdout;
    assert!(list.contains("no IOMMU group"), "{list}");
    assert_eq!(driver(NO_IOMMU), None);
}

#[test]
fn device_in_the_no_iommu_mode_is_refused() {
    let _host = host();
    let bound = NoIommuDevice::bind().unwrap();
    assert_eq!(driver(NO_IOMMU).as_deref(), Some("vfio-pci"));

    let nodes = names(sysfs(NO_IOMMU).join("vfio-dev"));
    assert!(
        matches!(nodes.as_slice(), [node] if node.starts_with("noiommu-vfio")),
        "{nodes:?}"
    );
    for arguments in [&["bind", NO_IOMMU][..], &["bind", "--force", NO_IOMMU]] {
        let said = refused(arguments);
        assert!(
            said.contains("has no IOMMU (VFIO's no-IOMMU mode)"),
            "{said}"
        );
    }

    let list = passthru(&["list", NO_IOMMU]).expect_success().stdout;
    assert!(list.contains("no IOMMU"), "{list}");
    for managed in ["yes", "no"] {
        let domain = format!(
            "<domain type='kvm'><name>unsafe</name><memory unit='MiB'>64</memory><os>\
             <type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><devices>\
             <hostdev mode='subsystem' type='pci' managed='{managed}'><driver iommufd='yes'/>\
             <source>\
             <address domain='0' bus='0x{}' slot='0' function='0'/></source></hostdev></devices>\
             </domain>",
            &NO_IOMMU[5..7]
        );
        fs::write("/tmp/unsafe.xml", domain).unwrap();
        let said = refused(&["run", "/tmp/unsafe.xml"]);
        assert!(said.contains("has no IOMMU"), "{said}");
    }

    drop(bound);
    assert_eq!(driver(NO_IOMMU), None);

    let _ = run(Command::new("rm").arg("/tmp/unsafe.xml")).expect_success();
}
