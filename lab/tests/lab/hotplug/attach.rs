//! Attach.

use passthru_guest::DetachSettings;
use passthru_lab::devices::{NVME, NVME_SHA256};
use passthru_lab::host;
use passthru_qemu::monitor::Command;
use serde_json::json;

use super::support::{LiveDomain, LiveGuest, host_state, hostdev};

const RELEASED: &str = "gone";

#[test]
fn attached_disk_reads_right() {
    let lab = host();
    let before = host_state(lab, NVME);
    let mut guest = LiveDomain::new("attached").start();
    guest.wait_for("ready");
    let end = guest.attach(&hostdev(NVME, ""));
    end.result.unwrap();

    assert_eq!(end.aliases, ["hostdev0"]);
    assert_eq!(guest.guest.domain().devices.hostdevs.len(), 1);

    guest.wait_for(&format!("sum {NVME_SHA256}"));

    let end = guest.detach(NVME, DetachSettings::default());
    end.result.unwrap();
    assert!(end.not_restored.is_empty());

    guest.wait_for(RELEASED);
    assert_eq!(host_state(lab, NVME), before);
    assert!(guest.guest.domain().devices.hostdevs.is_empty());

    guest.end();
    assert_eq!(host_state(lab, NVME), before);
}

/// Asserts that an attach fails with an error, and leaves nothing in the VMM and on the host.
fn assert_fails(guest: &mut LiveGuest, xml: &str, reason: &str) {
    let lab = host();
    let files = guest.open_files();
    let memlock = guest.memlock();
    let state = host_state(lab, NVME);
    let end = guest.attach(xml);

    let error = end.result.unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    let text = format!("{error}: {}", cause.unwrap_or_default());
    assert!(text.contains(reason), "{text}");
    assert!(end.not_restored.is_empty(), "{:?}", end.not_restored);
    assert_eq!(guest.open_files(), files, "{reason}");
    assert_eq!(guest.memlock(), memlock, "{reason}");
    assert_eq!(guest.pinned(), 0, "{reason}");
    assert_eq!(host_state(lab, NVME), state, "{reason}");
    assert!(guest.guest.domain().devices.hostdevs.is_empty());
}

#[test]
fn attach_that_fails_leaves_nothing() {
    let _lab = host();
    let mut guest = LiveDomain::new("fails").start();
    guest.wait_for("ready");
    let disk = hostdev(NVME, "");

    let driver = "<driver model='passthru_none'/>";
    assert_fails(&mut guest, &hostdev(NVME, driver), "passthru_none");

    let unmanaged = disk.replace("managed='yes'", "managed='no'");
    assert_fails(&mut guest, &unmanaged, "nvme");

    // Another object has the id of the iommufd object.
    let object = json!({ "qom-type": "rng-builtin", "id": "iommufd0" });
    guest.ask(&Command::ObjectAdd { object }).unwrap();
    assert_fails(&mut guest, &disk, "duplicate");
    let id = "iommufd0".into();
    guest.ask(&Command::ObjectDel { id }).unwrap();

    // Another device is in the port.
    let device = json!({ "driver": "edu", "id": "other", "bus": "pci.1" });
    guest.ask(&Command::DeviceAdd { device }).unwrap();
    assert_fails(&mut guest, &disk, "in use by");

    // The guest gets the device in the other port.
    let port = "<address type='pci' bus='2'/>";
    guest.attach(&hostdev(NVME, port)).result.unwrap();
    guest.wait_for(&format!("sum {NVME_SHA256}"));
    guest.end();
}

#[test]
fn iommufd_object_comes_and_goes() {
    let _lab = host();
    let mut guest = LiveDomain::new("object").start();
    guest.wait_for("ready");
    for _ in 0..2 {
        assert!(!guest.has_object("iommufd0"));
        assert_eq!(guest.open_files().get("/dev/iommu"), None);

        guest.attach(&hostdev(NVME, "")).result.unwrap();
        assert!(guest.has_object("iommufd0"));
        assert_eq!(guest.open_files().get("/dev/iommu"), Some(&1));
        guest.wait_for("sum");

        let settings = DetachSettings::default();
        guest.detach(NVME, settings).result.unwrap();
        guest.wait_for(RELEASED);
    }

    assert!(!guest.has_object("iommufd0"));
    assert_eq!(guest.open_files().get("/dev/iommu"), None);

    guest.end();
}

#[test]
fn limit_grows_with_the_attached_device() {
    const MEMORY: u64 = 256 << 20;
    let _lab = host();
    let mut guest = LiveDomain::new("limit").start();
    guest.wait_for("ready");
    let before = guest.memlock();

    assert!(before < MEMORY);
    assert_eq!(guest.pinned(), 0);

    guest.attach(&hostdev(NVME, "")).result.unwrap();
    assert!(guest.memlock() > guest.pinned());
    assert!(guest.pinned() >= MEMORY);

    guest.wait_for("sum");

    let settings = DetachSettings::default();
    guest.detach(NVME, settings).result.unwrap();
    assert_eq!(guest.memlock(), before);
    assert_eq!(guest.pinned(), 0);

    guest.end();
}
