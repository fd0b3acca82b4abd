//! Detach.

use std::time::Duration;

use passthru_guest::{DetachSettings, Error, HotplugError};
use passthru_lab::devices::{NVME, NVME_SHA256};
use passthru_lab::{HeldResources, host};
use passthru_qemu::monitor::Command;

use super::support::{LiveDomain, host_state, hostdev};

/// Number of changes that a test of leaks makes.
const CYCLES: usize = 8;

#[test]
fn detach_waits_for_the_guest() {
    let lab = host();
    let before = host_state(lab, NVME);
    let mut guest = LiveDomain::new("waits").start();
    guest.wait_for("ready");
    guest.attach(&hostdev(NVME, "")).result.unwrap();
    guest.wait_for("sum");

    // A paused guest does not answer.
    guest.ask(&Command::Stop).unwrap();
    let settings = DetachSettings::default();
    guest.guest.begin_detach("hostdev0", settings).unwrap();
    guest.run_for(Duration::from_secs(3));
    let progress = guest.guest.transaction_progress().unwrap();

    assert!(progress.operation.contains("release hostdev0"));
    assert!(guest.guest.take_finished().is_none());
    assert_eq!(host_state(lab, NVME).0.as_deref(), Some("vfio-pci"));

    guest.ask(&Command::Cont).unwrap();
    guest.finish().result.unwrap();
    assert_eq!(host_state(lab, NVME), before);

    guest.end();
}

#[test]
fn guest_that_ignores_detach_is_named() {
    let lab = host();
    let before = host_state(lab, NVME);
    let mut domain = LiveDomain::new("ignores").with(&hostdev(NVME, ""));
    domain.parameters = "acpi=off";
    let mut guest = domain.start();
    guest.wait_for("ready");
    let settings = DetachSettings {
        time: Duration::from_secs(3),
        force: false,
    };
    let error = guest.detach("hostdev0", settings).result.unwrap_err();
    let Error::Hotplug(HotplugError::NotReleased { alias, .. }) = &error else {
        panic!("{error:?}")
    };

    assert_eq!(alias, "hostdev0");
    assert_eq!(guest.guest.domain().devices.hostdevs.len(), 1);
    assert_eq!(host_state(lab, NVME).0.as_deref(), Some("vfio-pci"));

    let settings = DetachSettings {
        force: true,
        ..settings
    };
    guest.detach("hostdev0", settings).result.unwrap();
    assert_eq!(host_state(lab, NVME), before);

    guest.wait_for("ready");
    guest.end();
}

#[test]
fn detach_of_a_start_device_gives_it_back() {
    let lab = host();
    let before = host_state(lab, NVME);
    let domain = LiveDomain::new("start").with(&hostdev(NVME, ""));
    let mut guest = domain.start_paused();
    let settings = DetachSettings::default();
    let early = guest.guest.begin_detach(NVME, settings).unwrap_err();

    assert!(matches!(early, Error::Hotplug(HotplugError::NotRun)));

    guest.resume();
    guest.wait_for("sum");
    guest.detach(NVME, settings).result.unwrap();
    guest.wait_for("gone");
    assert!(!guest.has_object("iommufd0"));
    assert_eq!(host_state(lab, NVME), before);

    // The VMM still has the descriptor of its start, and the object gets it again.
    guest.attach(&hostdev(NVME, "")).result.unwrap();
    guest.wait_for(&format!("sum {NVME_SHA256}"));
    assert_eq!(guest.open_files().get("/dev/iommu"), Some(&1));

    guest.end();
    assert_eq!(host_state(lab, NVME), before);
}

#[test]
fn many_cycles_leak_nothing() {
    let lab = host();
    let host_before = host_state(lab, NVME);
    let mut guest = LiveDomain::new("cycles").start();
    guest.wait_for("ready");
    let mut before = None;
    for cycle in 0..CYCLES {
        guest.attach(&hostdev(NVME, "")).result.unwrap();
        guest.wait_for("sum");
        let settings = DetachSettings::default();
        guest.detach(NVME, settings).result.unwrap();
        guest.wait_for("gone");

        // QEMU itself keeps a descriptor of a mapped BAR for each cycle, and one of KVM after the
        // first cycle.
        let mut files = guest.open_files();
        files.retain(|name, _| !name.starts_with("/dmabuf"));
        let now = (
            files,
            HeldResources::read().unwrap(),
            guest.memlock(),
            guest.pinned(),
        );
        assert_eq!(host_state(lab, NVME), host_before);
        match &before {
            None => before = Some(now),
            Some(before) => assert_eq!(now, *before, "after cycle {cycle}"),
        }
    }

    guest.end();
}

#[test]
fn late_release_gives_the_device_back() {
    let lab = host();
    let before = host_state(lab, NVME);
    let mut guest = LiveDomain::new("late").start();
    guest.wait_for("ready");
    guest.attach(&hostdev(NVME, "")).result.unwrap();
    guest.wait_for("sum");

    guest.ask(&Command::Stop).unwrap();
    let settings = DetachSettings {
        time: Duration::from_secs(1),
        force: false,
    };
    let error = guest.detach("hostdev0", settings).result.unwrap_err();

    assert!(
        matches!(error, Error::Hotplug(HotplugError::NotReleased { .. })),
        "{error:?}"
    );
    assert_eq!(host_state(lab, NVME).0.as_deref(), Some("vfio-pci"));

    guest.ask(&Command::Cont).unwrap();
    guest.wait_for("gone");
    guest.run_for(Duration::from_secs(3));
    assert_eq!(host_state(lab, NVME), before);
    assert!(guest.guest.domain().devices.hostdevs.is_empty());
    assert!(!guest.has_object("iommufd0"));

    guest.end();
}
