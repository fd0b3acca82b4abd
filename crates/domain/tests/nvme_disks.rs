//! NVMe disks of the host: the functions that a guest gets, and refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use passthru_domain::{Backend, Domain, FunctionOwner};

use common::{accepted, guest, refused};

fn disk(target: &str, source: &str, address: &str) -> String {
    format!(
        "<disk type='nvme' device='disk'><driver name='qemu' type='raw'/>\
         <source type='pci' {source}><address {address}/></source>\
         <target dev='{target}' bus='virtio'/></disk>"
    )
}

fn hostdev(bus: u8, inner: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci' managed='yes'>{inner}<source>\
         <address domain='0' bus='{bus}' slot='0' function='0'/></source></hostdev>"
    )
}

/// Returns a guest with these devices, and elements below `<domain>`.
fn guest_with(top: &str, devices: &str) -> String {
    guest("q35", devices).replace("<os>", &format!("{top}<os>"))
}

/// Returns the note that contains `words`.
#[track_caller]
fn noted(domain: &Domain, words: &str) -> String {
    let notes = domain.notes();
    let found = notes.iter().find(|note| note.message.contains(words));
    found.unwrap_or_else(|| panic!("{notes:?}")).message.clone()
}

const FIRST: &str = "domain='0' bus='5' slot='0' function='0'";
const SECOND: &str = "domain='0' bus='6' slot='0x1f' function='7'";

#[test]
fn functions_of_hostdevs_and_nvme_disks_are_one_list() {
    let backing = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
        <source file='/srv/top.qcow2'/><backingStore type='nvme'><format type='raw'/>\
        <source type='pci' managed='no' namespace='1'><address domain='0' bus='8' slot='0' \
        function='0'/></source></backingStore><target dev='vdc' bus='virtio'/></disk>";
    let devices = disk("vda", "managed='yes' namespace='1'", FIRST)
        + &disk("vdb", "namespace='2'", SECOND)
        + backing
        + &hostdev(7, "");
    let domain = accepted(&guest("q35", &devices));
    let functions = domain.devices.assigned_functions();
    let list: Vec<_> = functions
        .iter()
        .map(|f| format!("{} {} {}", f.address, f.managed, f.owner_name()))
        .collect();

    assert_eq!(
        list,
        [
            "0000:07:00.0 true hostdev 0000:07:00.0",
            "0000:05:00.0 true disk 'vda'",
            "0000:06:1f.7 false disk 'vdb'",
            "0000:08:00.0 false disk 'vdc'",
        ]
    );
    assert!(matches!(functions[0].owner, FunctionOwner::Hostdev(_)));
}

#[test]
fn function_given_by_hostdev_and_disk_is_refused() {
    let devices = disk("vda", "managed='yes' namespace='1'", FIRST) + &hostdev(5, "");
    let words = "disk 'vda' is on 0000:05:00.0, which hostdev 0000:05:00.0 gives to the guest";
    refused(&guest("q35", &devices), words, "<disk type='nvme'");
}

#[test]
fn nvme_disk_with_iommufd_of_the_domain_is_refused() {
    let devices = disk("vda", "managed='yes' namespace='1'", FIRST);
    let xml = guest_with("<iommufd enabled='yes'/>", &devices);
    refused(&xml, "the emulator's own NVMe driver has type1", "<disk");

    let Err(errors) = common::check(&xml) else {
        panic!("accepted")
    };
    let hint = errors.iter().next().unwrap().hint.clone().unwrap();
    let (_, hostdev) = hint.split_once(": ").unwrap();
    accepted(&guest_with("<iommufd enabled='yes'/>", hostdev));

    assert!(hostdev.contains("managed='yes'"), "{hostdev}");
}

#[test]
fn nvme_disk_beside_a_hostdev_with_iommufd_is_accepted() {
    let devices = disk("vda", "namespace='1'", FIRST) + &hostdev(7, "<driver iommufd='yes'/>");
    let domain = accepted(&guest("q35", &devices));
    noted(&domain, "disk 'vda' is on type1");
    accepted(&guest_with("<iommufd enabled='no'/>", &devices));
}

#[test]
fn iommufd_asked_for_by_the_caller_is_refused_for_disks() {
    let devices = disk("vda", "namespace='1'", FIRST);
    let domain = accepted(&guest("q35", &devices));
    let errors = domain.check_disk_backend(Backend::Iommufd, "--backend iommufd");
    let message = errors.unwrap_err().to_string();

    assert!(message.contains("--backend iommufd asks"), "{message}");

    domain
        .check_disk_backend(Backend::Type1, "--backend type1")
        .unwrap();

    let named = accepted(&guest_with("<iommufd enabled='no'/>", &devices));
    named
        .check_disk_backend(Backend::Iommufd, "--backend iommufd")
        .unwrap();
}

#[test]
fn two_disks_on_one_controller_are_noted_and_not_started() {
    let devices = disk("vda", "namespace='1'", FIRST) + &disk("vdb", "namespace='2'", FIRST);
    let domain = accepted(&guest("q35", &devices));
    noted(
        &domain,
        "disk 'vda' and disk 'vdb' are on one controller, 0000:05:00.0",
    );
    let errors = domain.check_nvme_controllers().unwrap_err();
    let error = errors.iter().next().unwrap();

    assert!(error.message.contains("cannot start"), "{error}");
    assert!(error.span.is_some());
}

#[test]
fn backing_image_without_a_namespace_is_refused() {
    let chain = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
        <source file='/srv/top.qcow2'/><backingStore type='nvme'><format type='raw'/>\
        <source type='pci'><address domain='0' bus='8' slot='0' function='0'/></source>\
        </backingStore><target dev='vda' bus='virtio'/></disk>";
    refused(
        &guest("q35", chain),
        "an NVMe disk needs a <source type='pci'",
        "<disk",
    );
    let empty = "<disk type='nvme' device='disk'><target dev='vda' bus='virtio'/></disk>";
    refused(
        &guest("q35", empty),
        "an NVMe disk needs a <source type='pci'",
        "<disk",
    );
}

#[test]
fn virtio_mem_beside_an_nvme_disk_is_refused() {
    let memory = "<memory model='virtio-mem'><target><size unit='MiB'>512</size><node>0</node>\
        <block unit='MiB'>2</block><requested>0</requested></target></memory>";
    let top = "<maxMemory slots='1' unit='GiB'>8</maxMemory>";
    let cells = "<cpu><numa><cell id='0' cpus='0' memory='1048576'/></numa></cpu>";
    let nvme = disk("vda", "managed='yes' namespace='1'", FIRST);
    let with = guest_with(&format!("{top}{cells}"), &format!("{nvme}{memory}"));
    refused(&with, "does not work beside disk 'vda'", "<memory model");
    let other = hostdev(5, "");
    accepted(&guest_with(
        &format!("{top}{cells}"),
        &format!("{other}{memory}"),
    ));
}
