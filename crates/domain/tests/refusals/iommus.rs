//! Virtual IOMMUs.

use crate::common::{check, guest};
use crate::helpers::{accepted, refused};

#[test]
fn iommu_on_the_wrong_machine_or_with_others_is_refused() {
    refused(
        "pc",
        "<iommu model='intel'/>",
        "for the machines q35 only, not for 'pc'",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='smmuv3'/>",
        "for the machines virt only",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='intel'/><iommu model='virtio'/>",
        "'virtio' must be the only one",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='intel'><driver intremap='on'/></iommu>",
        "I/O APIC",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='intel'><driver eim='on'/></iommu>",
        "needs intremap='on'",
        "<iommu",
    );
    refused(
        "q35",
        "<iommu model='virtio'><driver iotlb='on'/></iommu>",
        "has no 'iotlb'",
        "<iommu",
    );
    refused(
        "virt",
        "<iommu model='virtio'><driver accel='on'/></iommu>",
        "has no 'accel'",
        "<iommu",
    );
    let elsewhere = "<controller type='pci' model='pcie-root-port'/><iommu model='virtio'>\
        <address type='pci' bus='1'/></iommu>";
    refused("q35", elsewhere, "must be on the root bus", "<iommu");
}

fn smmu(driver: &str) -> String {
    format!("<iommu model='smmuv3'><driver {driver}/></iommu>")
}

#[test]
fn smmuv3_without_a_root_bus_of_its_own_is_refused() {
    let pxb = "<controller type='pci' index='1' model='pcie-expander-bus'/>";
    let with = |drivers: &[&str]| {
        format!(
            "{pxb}{}",
            drivers.iter().map(|d| smmu(d)).collect::<String>()
        )
    };
    accepted("virt", &with(&["pciBus='0'", "pciBus='1' accel='on'"]));
    accepted("virt", "<iommu model='smmuv3'/>");
    refused(
        "virt",
        &with(&["pciBus='1'", "pciBus='1'"]),
        "two SMMUv3 serve the PCI bus 1",
        "<iommu",
    );
    refused(
        "virt",
        &format!("{}<iommu model='smmuv3'/>", with(&["pciBus='1'"])),
        "needs its own PCI bus",
        "<iommu",
    );
    refused(
        "virt",
        &with(&["pciBus='7'"]),
        "there is no such PCI controller",
        "<iommu",
    );
    refused(
        "virt",
        &with(&["accel='on'"]),
        "needs the attribute 'pciBus'",
        "<iommu",
    );
    refused(
        "virt",
        &with(&["pciBus='1' ats='on'"]),
        "ats='on' of the SMMUv3 needs accel='on'",
        "<iommu",
    );
    refused(
        "virt",
        &with(&["pciBus='1' accel='on' ssidsize='21'"]),
        "ssidsize='21'",
        "<iommu",
    );
    let port = "<controller type='pci' index='1' model='pcie-root-port'/>";
    refused(
        "virt",
        &format!("{port}{}", smmu("pciBus='1'")),
        "pciBus='1' of the SMMUv3 is a pcie-root-port",
        "<iommu",
    );
}

#[test]
fn virtio_iommu_without_acpi_is_refused() {
    let iommu = "<iommu model='virtio'/>";
    refused("q35", iommu, "'virtio' needs ACPI", "<iommu");
    check(&guest("q35", iommu).replace("<os>", "<features><acpi/></features><os>")).unwrap();
}
