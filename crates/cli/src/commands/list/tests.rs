use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use passthru_host::Host;

use super::args::Args;
use super::collect::collect;
use super::print::notes;
use super::table::table;

/// Makes a device with its class, driver and IOMMU group. An empty text makes no file.
fn device(root: &Path, address: &str, class: &str, driver: &str, group: &str) {
    let dir = root.join("sys/bus/pci/devices").join(address);
    fs::create_dir_all(&dir).unwrap();
    for (name, value) in [("vendor", "0x8086"), ("device", "0x10c9"), ("class", class)] {
        fs::write(dir.join(name), value).unwrap();
    }
    if !driver.is_empty() {
        symlink(format!("../../drivers/{driver}"), dir.join("driver")).unwrap();
    }
    if !group.is_empty() {
        symlink(format!("../groups/{group}"), dir.join("iommu_group")).unwrap();
        fs::create_dir_all(root.join(format!("sys/kernel/iommu_groups/{group}/devices/{address}")))
            .unwrap();
    }
}

fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/1/ns")).unwrap();
    symlink("pid:[4026531836]", root.path().join("proc/1/ns/pid")).unwrap();
    let add = |address, class, driver, group| device(root.path(), address, class, driver, group);
    add("0000:00:01.0", "0x060400", "pcieport", "1");
    add("0000:02:00.0", "0x020000", "igb", "2");
    add("0000:01:00.0", "0x010802", "vfio-pci", "3");
    add("0000:03:00.0", "0x020000", "", "4");
    add("0000:03:00.1", "0x020000", "e1000e", "4");
    add("0000:04:00.0", "0x020000", "", "");
    add("0000:05:00.0", "0x020000", "vfio-pci", "5");
    for node in [
        "0000:01:00.0/vfio-dev/vfio0",
        "0000:05:00.0/vfio-dev/noiommu-vfio1",
    ] {
        fs::create_dir_all(
            root.path()
                .join("sys/bus/pci/devices")
                .join(node)
                .join("dev"),
        )
        .unwrap();
    }

    root
}

fn shown(devices: &[&str], all: bool) -> Vec<String> {
    let devices = devices.iter().map(|text| text.parse().unwrap()).collect();
    let root = host();
    let rows = collect(
        &Host::at(root.path()),
        &Args {
            devices,
            all,
            json: false,
        },
    )
    .unwrap()
    .devices;
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    table(&rows).to_string().lines().skip(1).map(line).collect()
}

#[test]
fn each_device_is_shown_with_its_availability() {
    let expected = [
        "0000:01:00.0 NVMe controller [8086:10c9] 3 vfio-pci - vfio0 -",
        "0000:02:00.0 Ethernet controller [8086:10c9] 2 igb - can -",
        "0000:03:00.0 Ethernet controller [8086:10c9] 4 - - only with 0000:03:00.1 -",
        "0000:03:00.1 Ethernet controller [8086:10c9] 4 e1000e - can -",
        "0000:04:00.0 Ethernet controller [8086:10c9] - - - no: no IOMMU group -",
        "0000:05:00.0 Ethernet controller [8086:10c9] 5 vfio-pci - no: no IOMMU -",
    ];
    assert_eq!(shown(&[], false), expected);
}

#[test]
fn bridges_are_shown_if_all_or_they_are_asked_for() {
    let bridge = "0000:00:01.0 PCI bridge [8086:10c9] 1 pcieport - no: bridge -";
    assert_eq!(shown(&[], true)[0], bridge);
    assert_eq!(shown(&["00:01.0"], false), [bridge]);
}

/// Writes the record of a guest that died.
fn leave(root: &Path, address: &str) {
    let folder = root.join("run/passthru/devices");
    fs::create_dir_all(&folder).unwrap();
    let record = serde_json::json!({"version": 1, "device": address, "driver": "vfio-pci",
        "former": {"driver": "igb", "driver_override": null}, "guest": "vm", "pid": 7,
        "boot_id": ""});
    fs::write(folder.join(format!("{address}.json")), record.to_string()).unwrap();
}

#[test]
fn devices_that_a_dead_guest_left_are_shown() {
    let root = host();
    for address in ["0000:01:00.0", "0000:03:00.0", "0000:09:00.0"] {
        leave(root.path(), address);
    }
    let args = Args {
        devices: vec![],
        all: false,
        json: false,
    };
    let listing = collect(&Host::at(root.path()), &args).unwrap();
    let left: Vec<String> = listing
        .devices
        .iter()
        .filter_map(|row| Some(row.left.as_ref()?.to_string()))
        .collect();

    assert_eq!(
        left,
        [
            "left by guest vm",
            "left by guest vm, half bound to vfio-pci"
        ]
    );
    assert!(table(&listing.devices).to_string().contains("half bound"));

    let notes = notes(&listing);
    assert!(
        notes.contains(&"0000:09:00.0: left by guest vm, not there now".into()),
        "{notes:?}"
    );
    assert!(
        notes.iter().any(|note| note.contains("passthru unbind")),
        "{notes:?}"
    );

    let json = serde_json::json!(listing);
    assert_eq!(json["devices"][0]["left"]["left"], "bound");
}

#[test]
fn device_named_twice_is_shown_once() {
    assert_eq!(shown(&["02:00.0", "0000:02:00.0"], false).len(), 1);
}

#[test]
fn json_has_all_facts_of_a_device() {
    let root = host();
    let args = Args {
        devices: vec!["03:00.0".parse().unwrap()],
        all: false,
        json: true,
    };
    let json = serde_json::json!(collect(&Host::at(root.path()), &args).unwrap());
    let device = &json["devices"][0];

    assert_eq!(device["address"], "0000:03:00.0");
    assert_eq!(
        device["vfio"],
        serde_json::json!({"state": "can_with", "devices": ["0000:03:00.1"]})
    );
    assert_eq!(
        (&device["group"], &device["numa_node"]),
        (&4.into(), &serde_json::Value::Null)
    );
    assert_eq!(json["host"]["iommu"], true);
}
