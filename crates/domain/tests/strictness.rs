//! Where libvirt accepts a guest and then drops or misbuilds what it asks for, it is refused here,
//! with the reason.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{check, guest};
use passthru_domain::{Backend, Domain};

/// Two expanders, 1 and 2, with a root port below each, 3 and 4.
const EXPANDERS: &str = "<controller type='pci' index='1' model='pcie-expander-bus'/>\
    <controller type='pci' index='2' model='pcie-expander-bus'/>\
    <controller type='pci' index='3' model='pcie-root-port'><address type='pci' bus='1' slot='0'/></controller>\
    <controller type='pci' index='4' model='pcie-root-port'><address type='pci' bus='2' slot='0'/></controller>";

#[track_caller]
fn refused(machine: &str, devices: &str, words: &str) {
    common::refused(&guest(machine, devices), words, "");
}

#[track_caller]
fn accepted(machine: &str, devices: &str) -> Domain {
    common::accepted(&guest(machine, devices))
}

fn smmus(drivers: &[&str]) -> String {
    let smmus = drivers
        .iter()
        .map(|driver| format!("<iommu model='smmuv3'><driver {driver}/></iommu>"));
    format!("{EXPANDERS}{}", smmus.collect::<String>())
}

#[test]
fn two_intel_iommus() {
    refused(
        "q35",
        &"<iommu model='intel'/>".repeat(2),
        "model 'intel' must be the only one",
    );
}

#[test]
fn an_intel_iommu_with_a_virtio_iommu() {
    refused(
        "q35",
        "<iommu model='intel'/><iommu model='virtio'/>",
        "model 'intel' must be the only one",
    );
}

#[test]
fn two_smmus_without_a_bus() {
    refused(
        "virt",
        &"<iommu model='smmuv3'/>".repeat(2),
        "needs its own PCI bus",
    );
}

#[test]
fn two_smmus_of_which_one_has_a_bus() {
    let one = format!("{}<iommu model='smmuv3'/>", smmus(&["pciBus='1'"]));
    refused("virt", &one, "needs its own PCI bus");
    accepted("virt", &smmus(&["pciBus='1'", "pciBus='2'"]));
}

#[test]
fn two_smmus_with_the_same_bus() {
    refused(
        "virt",
        &smmus(&["pciBus='2'", "pciBus='2'"]),
        "two SMMUv3 serve the PCI bus 2",
    );
}

#[test]
fn an_smmu_on_a_bus_that_is_no_root() {
    refused(
        "virt",
        &smmus(&["pciBus='3'"]),
        "pciBus='3' of the SMMUv3 is a pcie-root-port",
    );
    accepted("virt", &smmus(&["pciBus='0'", "pciBus='1'"]));
}

#[test]
fn an_smmu_on_a_bus_that_is_not_there() {
    refused(
        "virt",
        &smmus(&["pciBus='9'"]),
        "pciBus='9' of the SMMUv3: there is no such PCI controller",
    );
    refused(
        "virt",
        &smmus(&["pciBus='256'"]),
        "pciBus='256' of the SMMUv3: there is no such PCI controller",
    );
}

#[test]
fn acceleration_without_a_bus() {
    refused(
        "virt",
        "<iommu model='smmuv3'><driver accel='on'/></iommu>",
        "needs the attribute 'pciBus'",
    );
}

#[test]
fn what_only_the_hosts_smmu_has_without_acceleration() {
    for asked in [
        "ats='on'",
        "ril='off'",
        "ssidsize='4'",
        "oas='48'",
        "cmdqv='on'",
    ] {
        refused(
            "virt",
            &smmus(&[&format!("pciBus='1' {asked}")]),
            &format!("{asked} of the SMMUv3 needs accel='on'"),
        );
        accepted("virt", &smmus(&[&format!("pciBus='1' accel='on' {asked}")]));
    }
    accepted(
        "virt",
        &smmus(&["pciBus='1' ats='auto' ril='on' ssidsize='0' oas='44' cmdqv='off'"]),
    );
}

#[test]
fn substream_ids_that_are_too_wide() {
    refused(
        "virt",
        &smmus(&["pciBus='1' accel='on' ssidsize='21'"]),
        "ssidsize='21' of the SMMUv3 is above 20",
    );
    accepted("virt", &smmus(&["pciBus='1' accel='on' ssidsize='20'"]));
    accepted("virt", &smmus(&["pciBus='1' accel='on' ssidsize='auto'"]));
}

#[test]
fn widths_of_addresses_that_qemus_smmu_has_not() {
    for bits in ["32", "43", "52"] {
        let driver = format!("pciBus='1' accel='on' oas='{bits}'");
        refused(
            "virt",
            &smmus(&[&driver]),
            &format!("oas='{bits}' of the SMMUv3 is not supported"),
        );
    }
    for bits in ["44", "48", "auto"] {
        accepted(
            "virt",
            &smmus(&[&format!("pciBus='1' accel='on' oas='{bits}'")]),
        );
    }
}

#[test]
fn numa_nodes_that_the_guest_has_not() {
    let numa = "<cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB'/><cell id='1' memory='0' unit='KiB'/></numa></cpu>";
    let with = |nodeset: &str| {
        let hostdev = "<hostdev mode='subsystem' type='pci'><source><address bus='1'/></source>";
        guest(
            "q35",
            &format!("{hostdev}<acpi nodeset='{nodeset}'/></hostdev>"),
        )
    };
    let errors = check(&with("1-2").replace("<devices>", &format!("{numa}<devices>"))).unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("names NUMA node 2, which the guest does not have"),
        "{errors}"
    );
    assert!(
        check(&with("0")).is_err(),
        "a guest without <numa> has none that can be named"
    );
    check(&with("0-1").replace("<devices>", &format!("{numa}<devices>"))).unwrap();
    let expander = |node: u32| {
        let target = format!("<target busNr='100'><node>{node}</node></target>");
        let xml = guest(
            "q35",
            &format!("<controller type='pci' model='pcie-expander-bus'>{target}</controller>"),
        );
        check(&xml.replace("<devices>", &format!("{numa}<devices>")))
    };
    expander(1).unwrap();
    let errors = expander(2).unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("of NUMA node 2, which the guest does not have"),
        "{errors}"
    );
}

#[test]
fn iommufd_for_what_is_no_vfio_device() {
    let usb = "<hostdev mode='subsystem' type='usb'><driver iommufd='yes'/><source><address bus='1' device='2'/></source></hostdev>";
    refused(
        "q35",
        usb,
        "iommufd='yes' is for VFIO devices (pci, mdev), not for a hostdev of type 'usb'",
    );
    let scsi = "<controller type='scsi' model='virtio-scsi'/><hostdev mode='subsystem' type='scsi'><driver iommufd='yes'/>\
        <source><adapter name='scsi_host0'/><address bus='0' target='0' unit='0'/></source></hostdev>";
    refused("q35", scsi, "not for a hostdev of type 'scsi'");
    let target = "<hostdev mode='subsystem' type='scsi_host'><driver iommufd='yes'/>\
        <source protocol='vhost' wwpn='naa.500140512345678a'/></hostdev>";
    refused("q35", target, "not for a hostdev of type 'scsi_host'");
    accepted("q35", &usb.replace("<driver iommufd='yes'/>", ""));
}

#[test]
fn type1_behind_an_accelerated_smmu() {
    let with = |driver: &str| {
        let smmu = smmus(&["pciBus='1' accel='on'"]);
        format!(
            "{smmu}<hostdev mode='subsystem' type='pci'>{driver}<source><address bus='1'/></source><address type='pci' bus='3'/></hostdev>"
        )
    };
    refused(
        "virt",
        &with("<driver iommufd='no'/>"),
        "behind an accelerated vSMMU, which needs iommufd; its <driver> disables it",
    );
    let unsaid = accepted("virt", &with(""));
    assert_eq!(
        unsaid.backend(&unsaid.devices.hostdevs[0]),
        Some(Backend::Iommufd)
    );
    let notes = unsaid.notes();
    assert!(
        notes.iter().any(|note| note.message.contains("iommufd")),
        "{notes:?}"
    );
}

#[test]
fn type1_behind_first_stage_translation() {
    let with = |driver: &str| {
        format!(
            "<iommu model='intel'><driver scalable_mode='on' fsts='on'/></iommu>\
             <hostdev mode='subsystem' type='pci'>{driver}<source><address bus='1'/></source></hostdev>"
        )
    };
    refused(
        "q35",
        &with("<driver iommufd='no'/>"),
        "fsts='on', which needs iommufd",
    );
    let unsaid = accepted("q35", &with(""));
    assert_eq!(
        unsaid.backend(&unsaid.devices.hostdevs[0]),
        Some(Backend::Iommufd)
    );
    refused(
        "q35",
        "<iommu model='intel'><driver fsts='on'/></iommu>",
        "needs scalable_mode='on'",
    );
}

#[test]
fn attributes_of_another_model_of_iommu() {
    for (machine, model, attribute, theirs) in [
        ("q35", "amd", "aw_bits='39'", "'intel' and 'virtio'"),
        ("q35", "intel", "xtsup='on'", "'amd'"),
        ("q35", "virtio", "intremap='on'", "'intel' and 'amd'"),
        ("virt", "smmuv3", "iotlb='on'", "'intel' and 'amd'"),
    ] {
        let name = attribute.split('=').next().unwrap();
        let iommu = format!("<iommu model='{model}'><driver {attribute}/></iommu>");
        refused(
            machine,
            &iommu,
            &format!("model '{model}' has no '{name}': that is for {theirs}"),
        );
    }
}

#[test]
fn more_cpus_than_interrupts_reach() {
    let many =
        |machine, devices: &str| guest(machine, devices).replace("<os>", "<vcpu>300</vcpu><os>");
    let added = check(&many("q35", "")).unwrap().format();
    assert!(
        added.contains("<driver intremap='on' eim='on'/>"),
        "{added}"
    );
    assert!(added.contains("<ioapic driver='qemu'/>"), "{added}");
    let errors = check(&many("pc", "")).unwrap_err();
    assert!(
        errors.to_string().contains("has at most 255 CPUs"),
        "{errors}"
    );
    let off = "<iommu model='intel'><driver intremap='on' eim='off'/></iommu>";
    let errors = check(&many("q35", off)).unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("need an IOMMU with the extended interrupt mode"),
        "{errors}"
    );
}

#[test]
fn a_device_behind_an_intel_iommu_that_caches_nothing_is_noted() {
    let with = |driver: &str| {
        let devices = format!(
            "<iommu model='intel'>{driver}</iommu>\
             <hostdev mode='subsystem' type='pci'><source><address bus='1'/></source></hostdev>"
        );
        accepted("q35", &devices)
            .notes()
            .iter()
            .any(|note| note.message.contains("caching_mode='on'"))
    };
    assert!(with("") && with("<driver caching_mode='off'/>"));
    assert!(
        !with("<driver caching_mode='on'/>") && !with("<driver scalable_mode='on' fsts='on'/>")
    );
}
