//! Aliases and ids of iommufd objects.

use crate::helpers::{VIRTIO_NET, accepted, hostdev, refused};

fn with_iommufd_id(id: &str) -> String {
    hostdev("bus='1'", &format!("<iommufdId>{id}</iommufdId>"))
}

#[test]
fn malformed_ids_are_refused() {
    for id in ["", "a,b=$(x)", "0a", "a b"] {
        refused(
            "q35",
            &with_iommufd_id(id),
            &format!("the iommufd object's id '{id}' is not a valid id"),
            "<hostdev",
        );
        let iommu = format!("<iommu model='intel'><iommufd><id>{id}</id></iommufd></iommu>");
        refused(
            "q35",
            &iommu,
            &format!("'{id}' is not a valid id"),
            "<iommu ",
        );
    }

    refused(
        "q35",
        "<iommu model='intel'><alias name='ua-a,b'/></iommu>",
        "the alias 'ua-a,b' of iommu 0",
        "<iommu",
    );
    accepted("q35", &with_iommufd_id("my.Object_1-b"));
}

fn card_with_alias(alias: &str) -> String {
    format!("{VIRTIO_NET}<alias name='{alias}'/></interface>")
}

#[test]
fn ids_in_use_are_refused() {
    refused(
        "q35",
        &card_with_alias("ua-dup").repeat(2),
        "'ua-dup' of interface 1 is already used by interface 0",
        "<interface",
    );
    // Aliases without `ua-` are ignored.
    for alias in ["balloon0", "pcie.0", "a,b"] {
        accepted("q35", &card_with_alias(alias).repeat(2));
    }
    for id in ["pc.ram", "monitor", "pci.0"] {
        refused(
            "q35",
            &with_iommufd_id(id),
            &format!("'{id}' is already used by the emulator itself"),
            "<hostdev",
        );
    }

    for id in ["ua-x", "hostua-x"] {
        refused(
            "q35",
            &format!("{}{}", card_with_alias("ua-x"), with_iommufd_id(id)),
            "is already used by interface 0",
            "<hostdev",
        );
    }

    let serial = "<serial type='pty'><alias name='ua-s'/></serial><console type='pty'>\
        <alias name='ua-s'/></console>";
    accepted("q35", serial);
}

fn with_shared_object(bus: &str) -> String {
    hostdev(bus, "<iommufdId>shared</iommufdId>")
}

#[test]
fn iommufd_object_may_serve_many_devices() {
    let iommu = "<iommu model='intel'><iommufd><id>shared</id></iommufd></iommu>";
    accepted(
        "q35",
        &format!(
            "{}{}{iommu}",
            with_shared_object("bus='1'"),
            with_shared_object("bus='2'")
        ),
    );
}
