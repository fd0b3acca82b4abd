//! Tests of records, on file trees.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::record::VERSION;
use super::{FormerState, Record, Validity};
use crate::test_tree::Tree;
use crate::{Error, Identity};

fn record(guest: Option<&str>, boot_id: &str) -> Record {
    Record {
        version: VERSION,
        device: "01:00.0".parse().unwrap(),
        identity: None,
        driver: "vfio-pci".into(),
        former: FormerState {
            driver: Some("nvme".into()),
            driver_override: None,
        },
        guest: guest.map(str::to_owned),
        pid: 42,
        boot_id: boot_id.into(),
        vmm: None,
        left: None,
        earlier: None,
    }
}

fn host() -> Tree {
    let tree = Tree::new();
    tree.file("proc/sys/kernel/random/boot_id", "this-boot\n");
    tree.host().make_records().unwrap();
    tree
}

fn mode(tree: &Tree, path: &str) -> u32 {
    fs::metadata(tree.path(path)).unwrap().permissions().mode() & 0o777
}

#[test]
fn record_is_read_back_and_closed_to_others() {
    let tree = host();
    let record = record(Some("guest"), "this-boot");
    tree.host().write_record(&record).unwrap();
    assert_eq!(tree.host().record(record.device).unwrap(), Some(record));
    assert_eq!(mode(&tree, "run/passthru/devices/0000:01:00.0.json"), 0o600);
    assert_eq!(mode(&tree, "run/passthru/devices"), 0o700);
    assert_eq!(mode(&tree, "run/passthru"), 0o755);
}

#[test]
fn record_of_an_earlier_boot_does_not_count() {
    let tree = host();
    tree.host()
        .write_record(&record(Some("guest"), "earlier-boot"))
        .unwrap();
    assert_eq!(
        tree.host().record("01:00.0".parse().unwrap()).unwrap(),
        None
    );
}

#[test]
fn damaged_record_is_an_error_that_names_it() {
    let tree = host();
    tree.file("run/passthru/devices/0000:01:00.0.json", "{");
    let error = tree.host().record("01:00.0".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("0000:01:00.0.json"), "{error}");
}

#[test]
fn record_of_a_newer_version_is_named_and_not_used() {
    let tree = host();
    tree.file(
        "run/passthru/devices/0000:01:00.0.json",
        r#"{"version": 3, "device": [1]}"#,
    );
    let error = tree.host().record("01:00.0".parse().unwrap()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NewerRecord {
                version: 3,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("0000:01:00.0.json"), "{error}");
}

#[test]
fn record_without_a_version_is_read() {
    let tree = host();
    let text = r#"{"device": "0000:01:00.0", "driver": "vfio-pci", "guest": "vm", "pid": 7,
        "former": {"driver": "nvme", "driver_override": null}, "boot_id": "this-boot"}"#;
    tree.file("run/passthru/devices/0000:01:00.0.json", text);
    let record = tree
        .host()
        .record("01:00.0".parse().unwrap())
        .unwrap()
        .unwrap();

    assert_eq!(record.version, 0);
    assert_eq!(record.identity, None);
}

#[test]
fn record_of_version_1_has_no_vmm() {
    let tree = host();
    let boot = "9c1b5f0e-3d0a-4f0b-8a55-5f3c2f1e7d11";
    tree.file("proc/sys/kernel/random/boot_id", format!("{boot}\n"));
    let text = include_str!("../../tests/records/version-1.json");
    tree.file("run/passthru/devices/0000:01:00.0.json", text);
    let device = "01:00.0".parse().unwrap();
    let record = tree.host().record(device).unwrap().unwrap();
    let by_hand = record.earlier.clone().unwrap();

    assert_eq!((record.version, &record.vmm), (1, &None));
    assert_eq!(record.guest.as_deref(), Some("web"));
    assert_eq!(record.former.driver.as_deref(), Some("vfio-pci"));
    assert_eq!((by_hand.guest, by_hand.vmm), (None, None));

    let serial = record.identity.as_ref().unwrap().nvme_serial.as_deref();
    assert_eq!(serial, Some("S64CNX0T"));

    tree.host().claim(device, Some("db")).unwrap();
}

/// Returns the validity of a record from `nvme` to `vfio-pci` for a device in another state.
fn validity(driver: Option<&str>, driver_override: Option<&str>) -> Validity {
    let tree = host();
    let dir = tree.pci("0000:01:00.0", 0x010802);
    tree.place("0000:01:00.0", driver, 1);
    if let Some(text) = driver_override {
        tree.file(&format!("{dir}/driver_override"), text);
    }
    let record = record(Some("guest"), "this-boot");
    let host = tree.host();
    let device = host.device(record.device).unwrap();
    record.validity(&device, &host.identity(record.device).unwrap())
}

#[test]
fn record_counts_in_each_state_of_its_change() {
    assert_eq!(validity(Some("vfio-pci"), None), Validity::Valid);
    assert_eq!(validity(Some("nvme"), Some("vfio-pci")), Validity::Valid);
    assert_eq!(validity(None, Some("vfio-pci")), Validity::Valid);
    assert_eq!(validity(None, None), Validity::Valid);
    assert_eq!(
        validity(None, Some("uio_pci_generic")),
        Validity::DriverChanged
    );
    assert_eq!(
        validity(Some("mlx5_vfio_pci"), None),
        Validity::DriverChanged
    );
}

#[test]
fn record_of_another_device_does_not_count() {
    let tree = host();
    tree.pci("0000:01:00.0", 0x010802);
    tree.place("0000:01:00.0", Some("vfio-pci"), 1);
    let host = tree.host();
    let device = host.device("01:00.0".parse().unwrap()).unwrap();
    let identity = host.identity(device.address).unwrap();
    let other = Identity {
        device: 7,
        ..identity.clone()
    };
    let record = Record {
        identity: Some(other),
        ..record(None, "this-boot")
    };

    assert_eq!(record.validity(&device, &identity), Validity::DeviceChanged);

    host.write_record(&record).unwrap();
    assert_eq!(host.valid_record(&device, &identity).unwrap(), None);
}
