//! Tests of assignments, on file trees.

use std::cell::Cell;
use std::fs;

use passthru_pci::Address;
use rustix::fs::inotify;

use crate::test_tree::Tree;
use crate::{Error, FormerState, Owner, Request, Usage};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// Makes a host with an NVMe disk on its driver, and a NIC on `vfio-pci`. Writes to the files of
/// the tree move nothing.
fn host() -> Tree {
    let tree = Tree::new();
    let nvme = tree.pci("0000:01:00.0", 0x010802);
    tree.place("0000:01:00.0", Some("nvme"), 1);
    tree.file(&format!("{nvme}/driver_override"), "(null)\n");
    tree.pci("0000:02:00.0", 0x020000);
    tree.place("0000:02:00.0", Some("vfio-pci"), 2);
    for file in ["nvme/unbind", "nvme/bind", "vfio-pci/bind"] {
        tree.file(&format!("sys/bus/pci/drivers/{file}"), "");
    }
    tree.file("proc/sys/kernel/random/boot_id", "this-boot\n");
    tree
}

fn override_of_nvme(tree: &Tree) -> String {
    fs::read_to_string(tree.path("sys/bus/pci/devices/0000:01:00.0/driver_override")).unwrap()
}

#[test]
fn empty_request_leaves_the_host_unread() {
    let tree = host();
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let opened = inotify::init(flags).unwrap();
    inotify::add_watch(&opened, tree.path("proc"), inotify::WatchFlags::OPEN).unwrap();
    let mut event = [0; 512];

    assert_eq!(tree.host().check(&[]).unwrap().len(), 0);
    assert_eq!(
        tree.host()
            .assign(&[], Some("one"), false)
            .unwrap()
            .devices(),
        []
    );
    assert_eq!(
        rustix::io::read(&opened, &mut event),
        Err(rustix::io::Errno::AGAIN)
    );

    let stopped = tree.host().assign_unless(&[], Some("one"), false, &|| true);
    assert!(matches!(stopped, Err(Error::Interrupted)));

    // A request makes the host read the folder.
    tree.host()
        .check(&[Request::managed(address("02:00.0"))])
        .unwrap();
    assert!(rustix::io::read(&opened, &mut event).is_ok());
}

#[test]
fn unmanaged_device_is_claimed_and_stays_on_vfio() {
    let tree = host();
    let nic = address("02:00.0");
    let assignment = tree
        .host()
        .assign(&[Request::unmanaged(nic)], Some("one"), false)
        .unwrap();
    let owner = Owner {
        guest: Some("one".into()),
        pid: std::process::id(),
    };

    assert_eq!(tree.host().owner(nic), Some(owner.clone()));

    let error = tree
        .host()
        .assign(&[Request::managed(nic)], Some("two"), true)
        .unwrap_err();
    assert!(
        matches!(&error, Error::Claimed { owner: by, .. } if *by == owner),
        "{error}"
    );

    assignment.give_back().unwrap();
    assert_eq!(tree.host().owner(nic), None);
    assert_eq!(
        tree.host().device(nic).unwrap().driver.as_deref(),
        Some("vfio-pci")
    );
}

#[test]
fn last_claim_of_unmanaged_devices_checks_them_again() {
    let tree = host();
    let nic = address("02:00.0");
    let requests = [Request::unmanaged(nic)];
    let begun = tree.host().begin_assignment(&requests, Some("one"), false);
    let mut assignment = begun.unwrap();
    tree.pci("0000:02:00.1", 0x020000);
    tree.place("0000:02:00.1", Some("igb"), 2);
    let error = assignment.claim(nic).unwrap_err();

    assert!(matches!(error, Error::NotViable { .. }), "{error}");
}

#[test]
fn failed_bind_is_undone_and_leaves_no_record() {
    let tree = host();
    let requests = ["02:00.0", "01:00.0"].map(|text| Request::managed(address(text)));
    let error = tree
        .host()
        .assign(&requests, Some("one"), false)
        .unwrap_err();
    let Error::WrongDriver { now, wanted, .. } = &error else {
        panic!("{error}")
    };

    assert_eq!(now.as_deref(), Some("nvme"));
    assert_eq!(wanted.as_deref(), Some("vfio-pci"));
    // The last write, over the one before: writes do not truncate the file.
    assert!(override_of_nvme(&tree).starts_with('\n'));
    assert_eq!(tree.host().record(address("01:00.0")).unwrap(), None);
    assert_eq!(tree.host().owner(address("02:00.0")), None);
}

/// Leaves the record of a guest that crashed while it had a device.
fn leave_record_of_crashed_guest(tree: &Tree, device: Address, former: FormerState) {
    let claim = tree.host().claim(device, Some("crashed")).unwrap();
    tree.host()
        .write_record(&claim.new_record("vfio-pci", former))
        .unwrap();
}

#[test]
fn failed_rollback_is_part_of_the_error() {
    let tree = host();
    let nic = address("02:00.0");
    // The record of a crashed guest, whose former driver no longer exists.
    let former = FormerState {
        driver: Some("no-such-driver".into()),
        driver_override: None,
    };
    leave_record_of_crashed_guest(&tree, nic, former);
    let requests = ["02:00.0", "01:00.0"].map(|text| Request::managed(address(text)));
    let error = tree
        .host()
        .assign(&requests, Some("one"), false)
        .unwrap_err();
    let Error::NotUndone {
        device, failure, ..
    } = &error
    else {
        panic!("{error}")
    };

    assert_eq!(*device, nic);
    assert!(matches!(**failure, Error::WrongDriver { .. }), "{failure}");
    assert!(tree.host().record(nic).unwrap().is_some());
}

#[test]
fn all_refusals_are_reported_and_nothing_is_touched() {
    let tree = host();
    tree.pci("0000:00:01.0", 0x060400);
    let requests = ["00:01.0", "09:00.0", "01:00.0"].map(|text| Request::managed(address(text)));
    let Err(Error::Several(errors)) = tree.host().assign(&requests, None, true) else {
        panic!()
    };

    assert!(matches!(
        errors[..],
        [Error::Bridge { .. }, Error::NotFound { .. }]
    ));
    assert_eq!(override_of_nvme(&tree), "(null)\n");
    assert!(!tree.path("run").exists());
}

#[test]
fn unmanaged_device_off_vfio_or_named_twice_is_refused() {
    let tree = host();
    let nvme = Request::unmanaged(address("01:00.0"));
    assert!(matches!(
        tree.host().check(&[nvme]),
        Err(Error::NotOnVfio { .. })
    ));

    let nic = Request::managed(address("02:00.0"));
    assert!(matches!(
        tree.host().check(&[nic.clone(), nic]),
        Err(Error::NamedTwice { .. })
    ));
}

fn nvme_on(driver: &str) -> [Request; 1] {
    [Request {
        driver: Some(driver.into()),
        ..Request::managed(address("01:00.0"))
    }]
}

#[test]
fn request_for_a_host_driver_is_refused() {
    let tree = host();
    let error = tree.host().check(&nvme_on("../../../../tmp")).unwrap_err();
    assert!(matches!(error, Error::BadDriverName { .. }), "{error}");

    let error = tree
        .host()
        .assign(&nvme_on("nvme"), None, false)
        .unwrap_err();
    assert!(matches!(error, Error::NotVfio { .. }), "{error}");
    assert_eq!(override_of_nvme(&tree), "(null)\n");
    assert_eq!(tree.host().record(address("01:00.0")).unwrap(), None);
}

#[test]
fn device_without_iommu_is_refused_even_by_force() {
    let tree = host();
    tree.file(
        "sys/devices/pci/0000:02:00.0/vfio-dev/noiommu-vfio0/dev",
        "511:0\n",
    );
    let nic = address("02:00.0");
    for request in [Request::managed(nic), Request::unmanaged(nic)] {
        let error = tree
            .host()
            .assign(&[request], Some("one"), true)
            .unwrap_err();
        assert!(
            matches!(error, Error::DeviceWithoutIommu { device } if device == nic),
            "{error}"
        );
    }

    assert_eq!(tree.host().owner(nic), None);
    assert_eq!(tree.host().record(nic).unwrap(), None);
}

#[test]
fn device_of_a_crashed_guest_keeps_its_former_state() {
    let tree = host();
    let nic = address("02:00.0");
    let former = FormerState {
        driver: Some("e1000e".into()),
        driver_override: None,
    };
    leave_record_of_crashed_guest(&tree, nic, former.clone());

    let assignment = tree
        .host()
        .assign(&[Request::managed(nic)], Some("next"), false)
        .unwrap();
    let record = tree.host().record(nic).unwrap().unwrap();

    assert_eq!(record.guest.as_deref(), Some("next"));
    assert_eq!(record.former, former);
    assert!(assignment.gives_back(nic));

    assignment.keep();
}

#[test]
fn interrupted_assignment_gives_all_devices_back() {
    let tree = host();
    let nic = address("02:00.0");
    let former = FormerState {
        driver: Some("vfio-pci".into()),
        driver_override: None,
    };
    leave_record_of_crashed_guest(&tree, nic, former);
    let requests = ["02:00.0", "01:00.0"].map(|text| Request::managed(address(text)));
    // The interruption comes while the first device is bound.
    let calls = Cell::new(0);
    let host = tree.host();
    let error = host
        .assign_unless(&requests, Some("one"), false, &|| {
            calls.replace(calls.get() + 1) == 1
        })
        .unwrap_err();

    assert!(matches!(error, Error::Interrupted), "{error}");
    assert_eq!(host.record(nic).unwrap(), None);
    assert_eq!(override_of_nvme(&tree), "(null)\n");
    assert_eq!(host.owner(nic), None);
}

fn former(driver: &str) -> FormerState {
    FormerState {
        driver: Some(driver.into()),
        driver_override: None,
    }
}

#[test]
fn failed_release_does_not_stop_the_others() {
    let tree = host();
    tree.pci("0000:03:00.0", 0x020000);
    tree.place("0000:03:00.0", Some("vfio-pci"), 3);
    for (text, driver) in [("02:00.0", "no-such-driver"), ("03:00.0", "vfio-pci")] {
        let claim = tree.host().claim(address(text), None).unwrap();
        tree.host()
            .write_record(&claim.new_record("vfio-pci", former(driver)))
            .unwrap();
    }

    let error = tree
        .host()
        .release(&["02:00.0", "03:00.0"].map(address), false)
        .unwrap_err();

    assert!(matches!(error, Error::Write { .. }), "{error}");
    assert!(tree.host().record(address("02:00.0")).unwrap().is_some());
    assert_eq!(tree.host().record(address("03:00.0")).unwrap(), None);
}

#[test]
fn open_device_is_not_released() {
    let tree = host();
    tree.file("sys/class/vfio/2/dev", "510:2\n");
    tree.file("dev/vfio/2", "char 510:2\n");
    tree.link("proc/77/fd/3", "/dev/vfio/2");
    tree.file("proc/77/comm", "qemu\n");
    let error = tree
        .host()
        .release(&[address("02:00.0")], false)
        .unwrap_err();
    let Error::OpenInProcesses { holders, .. } = &error else {
        panic!("{error}")
    };

    assert!(matches!(holders[..], [Usage::Process { pid: 77, .. }]));
}

#[test]
fn split_and_joined_assignments_keep_their_claims() {
    let tree = host();
    let host = tree.host();
    let devices = ["01:00.0", "02:00.0"].map(address);
    let requests = devices.map(Request::managed);
    let mut all = host.begin_assignment(&requests, Some("one"), true).unwrap();
    for device in devices {
        all.claim(device).unwrap();
    }

    let mut part = all.split_off(&devices[..1]);

    assert_eq!(part.devices()[0].address, devices[0]);
    assert_eq!(all.devices()[0].address, devices[1]);
    assert!(host.owner(devices[0]).is_some());

    part.await_closed(devices[0]).unwrap();
    part.try_give_back(devices[0]).unwrap();
    part.end_claim(devices[0]);
    assert_eq!(host.owner(devices[0]), None);

    let other = all.split_off(&devices);
    drop(all);
    part.absorb(other);
    assert_eq!(part.devices()[0].address, devices[1]);
    assert!(host.owner(devices[1]).is_some());

    drop(part);
    assert_eq!(host.owner(devices[1]), None);
}
