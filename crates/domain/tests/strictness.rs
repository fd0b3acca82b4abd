//! Refusals of guests that libvirt accepts, although it then drops or changes a setting.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use passthru_domain::{Backend, Domain};

use common::{check, guest};

/// Two expanders with the indexes 1 and 2, and the root ports 3 and 4 below them.
const EXPANDERS: &str = "<controller type='pci' index='1' model='pcie-expander-bus'/>\
    <controller type='pci' index='2' model='pcie-expander-bus'/>\
    <controller type='pci' index='3' model='pcie-root-port'><address type='pci' bus='1' slot='0'/>\
    </controller>\
    <controller type='pci' index='4' model='pcie-root-port'><address type='pci' bus='2' slot='0'/>\
    </controller>";

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
fn two_intel_iommus_are_refused() {
    refused(
        "q35",
        &"<iommu model='intel'/>".repeat(2),
        "model 'intel' must be the only one",
    );
}

#[test]
fn intel_iommu_with_a_virtio_iommu_is_refused() {
    refused(
        "q35",
        "<iommu model='intel'/><iommu model='virtio'/>",
        "model 'intel' must be the only one",
    );
}

#[test]
fn two_smmus_without_a_bus_are_refused() {
    refused(
        "virt",
        &"<iommu model='smmuv3'/>".repeat(2),
        "needs its own PCI bus",
    );
}

#[test]
fn two_smmus_with_only_one_bus_are_refused() {
    let one = format!("{}<iommu model='smmuv3'/>", smmus(&["pciBus='1'"]));
    refused("virt", &one, "needs its own PCI bus");
    accepted("virt", &smmus(&["pciBus='1'", "pciBus='2'"]));
}

#[test]
fn two_smmus_with_the_same_bus_are_refused() {
    refused(
        "virt",
        &smmus(&["pciBus='2'", "pciBus='2'"]),
        "two SMMUv3 serve the PCI bus 2",
    );
}

#[test]
fn smmu_on_a_bus_that_is_not_a_root_is_refused() {
    refused(
        "virt",
        &smmus(&["pciBus='3'"]),
        "pciBus='3' of the SMMUv3 is a pcie-root-port",
    );
    accepted("virt", &smmus(&["pciBus='0'", "pciBus='1'"]));
}

#[test]
fn smmu_on_a_missing_bus_is_refused() {
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
fn accelerated_smmu_without_a_bus_is_refused() {
    refused(
        "virt",
        "<iommu model='smmuv3'><driver accel='on'/></iommu>",
        "needs the attribute 'pciBus'",
    );
}

#[test]
fn host_smmu_features_without_accel_are_refused() {
    for attribute in [
        "ats='on'",
        "ril='off'",
        "ssidsize='4'",
        "oas='48'",
        "cmdqv='on'",
    ] {
        refused(
            "virt",
            &smmus(&[&format!("pciBus='1' {attribute}")]),
            &format!("{attribute} of the SMMUv3 needs accel='on'"),
        );
        accepted(
            "virt",
            &smmus(&[&format!("pciBus='1' accel='on' {attribute}")]),
        );
    }

    accepted(
        "virt",
        &smmus(&["pciBus='1' ats='auto' ril='on' ssidsize='0' oas='44' cmdqv='off'"]),
    );
}

#[test]
fn substream_ids_wider_than_20_bits_are_refused() {
    refused(
        "virt",
        &smmus(&["pciBus='1' accel='on' ssidsize='21'"]),
        "ssidsize='21' of the SMMUv3 is above 20",
    );
    accepted("virt", &smmus(&["pciBus='1' accel='on' ssidsize='20'"]));
    accepted("virt", &smmus(&["pciBus='1' accel='on' ssidsize='auto'"]));
}

#[test]
fn unsupported_output_address_size_is_refused() {
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
fn missing_numa_nodes_are_refused() {
    let numa = "<cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB'/>\
        <cell id='1' memory='0' unit='KiB'/></numa></cpu>";
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
        "a guest without <numa> has no node to name"
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
fn iommufd_for_other_than_vfio_devices_is_refused() {
    let usb = "<hostdev mode='subsystem' type='usb'><driver iommufd='yes'/><source>\
        <address bus='1' device='2'/></source></hostdev>";
    refused(
        "q35",
        usb,
        "iommufd='yes' is for VFIO devices (pci, mdev), not for a hostdev of type 'usb'",
    );
    let scsi = "<controller type='scsi' model='virtio-scsi'/>\
        <hostdev mode='subsystem' type='scsi'><driver iommufd='yes'/>\
        <source><adapter name='scsi_host0'/><address bus='0' target='0' unit='0'/></source>\
        </hostdev>";
    refused("q35", scsi, "not for a hostdev of type 'scsi'");
    let target = "<hostdev mode='subsystem' type='scsi_host'><driver iommufd='yes'/>\
        <source protocol='vhost' wwpn='naa.500140512345678a'/></hostdev>";
    refused("q35", target, "not for a hostdev of type 'scsi_host'");
    accepted("q35", &usb.replace("<driver iommufd='yes'/>", ""));
}

fn behind_accelerated_smmu(driver: &str) -> String {
    let smmu = smmus(&["pciBus='1' accel='on'"]);
    format!(
        "{smmu}<hostdev mode='subsystem' type='pci'>{driver}<source><address bus='1'/></source>\
         <address type='pci' bus='3'/></hostdev>"
    )
}

#[test]
fn type1_behind_an_accelerated_smmu_is_refused() {
    refused(
        "virt",
        &behind_accelerated_smmu("<driver iommufd='no'/>"),
        "behind an accelerated vSMMU, which needs iommufd; its <driver> disables it",
    );
    let domain = accepted("virt", &behind_accelerated_smmu(""));
    assert_eq!(
        domain.backend(&domain.devices.hostdevs[0]),
        Some(Backend::Iommufd)
    );

    let notes = domain.notes();
    assert!(
        notes.iter().any(|note| note.message.contains("iommufd")),
        "{notes:?}"
    );
}

fn behind_first_stage(driver: &str) -> String {
    format!(
        "<iommu model='intel'><driver scalable_mode='on' fsts='on'/></iommu>\
             <hostdev mode='subsystem' type='pci'>{driver}<source><address bus='1'/></source>\
             </hostdev>"
    )
}

#[test]
fn type1_behind_first_stage_translation_is_refused() {
    refused(
        "q35",
        &behind_first_stage("<driver iommufd='no'/>"),
        "fsts='on', which needs iommufd",
    );
    let domain = accepted("q35", &behind_first_stage(""));
    assert_eq!(
        domain.backend(&domain.devices.hostdevs[0]),
        Some(Backend::Iommufd)
    );

    refused(
        "q35",
        "<iommu model='intel'><driver fsts='on'/></iommu>",
        "needs scalable_mode='on'",
    );
}

#[test]
fn attributes_of_another_iommu_model_are_refused() {
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

fn guest_with_300_cpus(machine: &str, devices: &str) -> String {
    guest(machine, devices).replace("<os>", "<vcpu>300</vcpu><os>")
}

#[test]
fn more_than_255_cpus_need_extended_interrupt_mode() {
    let added = check(&guest_with_300_cpus("q35", "")).unwrap().format();
    assert!(
        added.contains("<driver intremap='on' eim='on'/>"),
        "{added}"
    );
    assert!(added.contains("<ioapic driver='qemu'/>"), "{added}");

    let errors = check(&guest_with_300_cpus("pc", "")).unwrap_err();
    assert!(
        errors.to_string().contains("has at most 255 CPUs"),
        "{errors}"
    );

    let off = "<iommu model='intel'><driver intremap='on' eim='off'/></iommu>";
    let errors = check(&guest_with_300_cpus("q35", off)).unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("need an IOMMU with the extended interrupt mode"),
        "{errors}"
    );
}

fn is_caching_mode_noted(driver: &str) -> bool {
    let devices = format!(
        "<iommu model='intel'>{driver}</iommu>\
             <hostdev mode='subsystem' type='pci'><source><address bus='1'/></source></hostdev>"
    );
    accepted("q35", &devices)
        .notes()
        .iter()
        .any(|note| note.message.contains("caching_mode='on'"))
}

#[test]
fn device_behind_intel_iommu_without_caching_mode_is_noted() {
    assert!(is_caching_mode_noted("") && is_caching_mode_noted("<driver caching_mode='off'/>"));
    assert!(
        !is_caching_mode_noted("<driver caching_mode='on'/>")
            && !is_caching_mode_noted("<driver scalable_mode='on' fsts='on'/>")
    );
}
