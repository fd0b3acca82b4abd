//! Host devices and their backends.

use crate::common;
use crate::common::{check, guest};
use crate::helpers::{accepted, hostdev, refused};

#[test]
fn host_device_in_two_spellings_is_refused() {
    let devices = format!(
        "{}{}",
        hostdev("bus='6' slot='1'", ""),
        hostdev("bus='0x06' slot='0x01'", "")
    );
    refused(
        "q35",
        &devices,
        "0000:06:01.0 is given to the guest twice",
        "<hostdev",
    );
}

#[test]
fn type1_behind_an_accelerated_vsmmu_is_refused() {
    let topology = "<controller type='pci' index='1' model='pcie-expander-bus'/>\
                    <controller type='pci' index='2' model='pcie-root-port'>\
                    <address type='pci' bus='1' slot='0'/></controller>\
                    <iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>";
    let with = |driver| {
        format!(
            "{topology}{}",
            hostdev(
                "bus='9'",
                &format!("{driver}<address type='pci' bus='2' slot='0'/>")
            )
        )
    };
    accepted("virt", &with(""));
    refused(
        "virt",
        &with("<driver iommufd='no'/>"),
        "behind an accelerated vSMMU, which needs iommufd; its <driver> disables it",
        "<hostdev",
    );
    let xml = guest("virt", &with("")).replace("<os>", "<iommufd enabled='no'/><os>");
    common::refused(&xml, "<iommufd> of the domain disables it", "<hostdev");
    refused(
        "virt",
        &with("<iommufdId>other</iommufdId>"),
        "object 'other', but its vSMMU uses 'iommufd0'",
        "<hostdev",
    );
}

#[test]
fn descriptor_given_twice_is_refused() {
    let two = format!(
        "{}{}",
        hostdev("bus='1'", "<iommufdFd>9</iommufdFd>"),
        hostdev("bus='2'", "<iommufdFd>9</iommufdFd>")
    );
    refused(
        "q35",
        &two,
        "the descriptor 9 is given for two devices",
        "<hostdev",
    );
    let grouped = guest(
        "q35",
        "<iommu model='intel'><iommufd><fd>5</fd></iommufd></iommu>",
    )
    .replace("<os>", "<iommufd enabled='yes' fdgroup='g'/><os>");
    common::refused(&grouped, "the descriptor 5 and the fdgroup 'g'", "<iommu");
}

#[test]
fn named_descriptor_given_twice_is_refused() {
    let two = format!(
        "{}{}",
        hostdev("bus='1'", "<iommufdFd>gpu</iommufdFd>"),
        hostdev("bus='2'", "<iommufdFd>gpu</iommufdFd>")
    );
    let twice = "the descriptor 'gpu' is given for two devices";
    refused("q35", &two, twice, "<hostdev");
    accepted("q35", &two.replacen("gpu", "other", 1));

    let iommu = "<iommu model='intel'><iommufd><fd>own</fd></iommufd></iommu>";
    let grouped = guest("q35", iommu).replace("<os>", "<iommufd enabled='yes' fdgroup='g'/><os>");
    common::refused(
        &grouped,
        "the descriptor 'own' and the fdgroup 'g'",
        "<iommu",
    );
    let objects = format!("{iommu}{}", iommu.replace("own", "5"));
    refused(
        "q35",
        &objects,
        "has two descriptors, 'own' and 5",
        "<iommu",
    );
}

#[test]
fn descriptor_that_is_neither_number_nor_name_is_refused() {
    let too_long = "n".repeat(256);
    for text in ["", "a:b", "Kartenlesegerät", &too_long] {
        let device = hostdev("bus='1'", &format!("<iommufdFd>{text}</iommufdFd>"));
        refused("q35", &device, "a name of at most 255", "<iommufdFd>");
        let iommu = format!("<iommu model='intel'><iommufd><fd>{text}</fd></iommufd></iommu>");
        refused("q35", &iommu, "a name of at most 255", "<fd>");
    }

    for number in ["4294967296", "-1"] {
        let device = hostdev("bus='1'", &format!("<iommufdFd>{number}</iommufdFd>"));
        refused("q35", &device, "a whole number from 0", "<iommufdFd>");
    }
}

fn with_driver(model: &str) -> String {
    hostdev(
        "bus='1' slot='0' function='0'",
        &format!("<driver name='vfio' model='{model}'/>"),
    )
}

#[test]
fn driver_name_that_is_a_path_is_refused() {
    for model in ["../../../../etc", "", "a b"] {
        refused(
            "q35",
            &with_driver(model),
            &format!("'{model}' is not the name of a driver"),
            "<driver",
        );
    }

    accepted("q35", &with_driver("mlx5_vfio_pci"));
}

#[test]
fn faulty_host_address_is_reported_once() {
    for address in ["bus='x'", "slot='0x20'", "bus='0x100'"] {
        let errors = check(&guest("q35", &hostdev(address, ""))).unwrap_err();
        assert_eq!(errors.iter().count(), 1, "{errors}");
    }

    refused(
        "q35",
        &hostdev("", ""),
        "<address> of a PCI device needs domain=",
        "<address",
    );
    let empty = "<hostdev mode='subsystem' type='pci'><source/></hostdev>";
    refused(
        "q35",
        empty,
        "<source> of a PCI device needs an <address",
        "<source",
    );
}

#[test]
fn host_address_of_another_type_is_refused() {
    accepted(
        "q35",
        &hostdev("type='pci' bus='1' slot='0' function='0'", ""),
    );
    refused(
        "q35",
        &hostdev("type='ccw' bus='1' slot='0' function='0'", ""),
        "of type 'pci', not 'ccw'",
        "<address",
    );
}
