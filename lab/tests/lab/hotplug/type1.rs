//! Devices on type1: the nodes of their groups come and go with them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use passthru_domain::DeviceDocument;
use passthru_guest::{AttachSettings, DetachSettings};
use passthru_lab::devices::{EDU, NVME, NVME_SHA256};
use passthru_lab::host;

use super::support::{LiveDomain, LiveGuest, host_state, hostdev};

const TYPE1: &str = "<driver iommufd='no'/>";

/// Returns the number of a device's IOMMU group.
fn group(device: &str) -> String {
    let link = fs::read_link(format!("/sys/bus/pci/devices/{device}/iommu_group")).unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Returns the names of the nodes in the VMM's `/dev/vfio`, all of which belong to its user.
fn nodes(guest: &LiveGuest) -> BTreeSet<String> {
    let process = format!("/proc/{}", guest.guest.pid());
    let uid = fs::metadata(&process).unwrap().uid();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(format!("{process}/root/dev/vfio")).unwrap() {
        let entry = entry.unwrap();
        let node = entry.metadata().unwrap();
        assert_eq!((node.uid(), node.mode() & 0o777), (uid, 0o600));
        names.insert(entry.file_name().into_string().unwrap());
    }

    names
}

fn names(devices: &[&str]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = devices.iter().map(|device| group(device)).collect();
    names.insert("vfio".into());
    names
}

#[test]
fn type1_device_is_attached_and_detached() {
    let lab = host();
    let before = [NVME, EDU].map(|device| host_state(lab, device));
    let domain = LiveDomain::new("type1-attach").with(&hostdev(EDU, TYPE1));
    let mut guest = domain.start();
    guest.wait_for("ready");

    assert_eq!(nodes(&guest), names(&[EDU]));

    let mixed = DeviceDocument::parse(&hostdev(NVME, "<driver iommufd='yes'/>")).unwrap();
    let refused = guest.guest.begin_attach(mixed, AttachSettings::default());
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("QEMU ends at such a mixture"), "{refused}");

    for round in 0..2 {
        // A device that names no backend gets the one of the guest's other device.
        let end = guest.attach(&hostdev(NVME, ""));
        end.result.unwrap();
        let both = names(&[EDU, NVME]);
        assert_eq!(nodes(&guest), both);
        guest.wait_for(&format!("sum {NVME_SHA256}"));
        let node = fs::metadata(format!("/dev/vfio/{}", group(NVME))).unwrap();
        assert_eq!(node.uid(), 0, "a node of the host changed its owner");

        let end = guest.detach(NVME, DetachSettings::default());
        end.result.unwrap();
        assert!(end.not_restored.is_empty(), "round {round}");
        guest.wait_for("gone");
        assert_eq!(nodes(&guest), names(&[EDU]), "round {round}");
        assert_eq!(host_state(lab, NVME), before[0]);
    }

    let end = guest.detach(EDU, DetachSettings::default());
    end.result.unwrap();
    assert_eq!(nodes(&guest), names(&[]));
    assert_eq!(host_state(lab, EDU), before[1]);

    guest.end();
    assert_eq!([NVME, EDU].map(|device| host_state(lab, device)), before);
}

#[test]
fn guest_without_own_nodes_gets_no_type1_device() {
    let lab = host();
    let before = host_state(lab, NVME);
    let mut guest = LiveDomain::new("type1-absent").start();
    guest.wait_for("ready");
    let document = DeviceDocument::parse(&hostdev(NVME, TYPE1)).unwrap();
    let refused = guest
        .guest
        .begin_attach(document, AttachSettings::default());
    let refused = refused.unwrap_err().to_string();

    assert!(refused.contains("no /dev/vfio of its own"), "{refused}");

    guest.end();
    assert_eq!(host_state(lab, NVME), before);
}
