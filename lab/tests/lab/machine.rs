//! The virtual host matches its documentation.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use passthru_lab::{devices, host};

fn device(address: &str) -> PathBuf {
    Path::new("/sys/bus/pci/devices").join(address)
}

fn driver(address: &str) -> Option<String> {
    let driver = fs::read_link(device(address).join("driver")).ok()?;
    Some(driver.file_name()?.to_str()?.to_owned())
}

/// Returns the addresses in the IOMMU group of a device, sorted.
fn group(address: &str) -> Vec<String> {
    let members = fs::read_dir(device(address).join("iommu_group/devices")).unwrap();
    let mut members: Vec<_> = members
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    members.sort();
    members
}

#[test]
fn kernel_offers_iommufd_vfio_and_kvm() {
    let _host = host();
    for node in ["/dev/iommu", "/dev/vfio/vfio", "/dev/kvm"] {
        assert!(
            fs::metadata(node).unwrap().file_type().is_char_device(),
            "{node}"
        );
    }
}

#[test]
fn each_device_is_at_its_address_on_its_driver() {
    let _host = host();
    let expected = [
        (devices::NVME, Some("nvme")),
        (devices::IGB, Some("igb")),
        (devices::DATA_NVME, Some("nvme")),
        (devices::UPLINK, Some("e1000e")),
        (devices::SHARED_FREE, None),
        (devices::SHARED_COMPANION, Some("e1000")),
        (devices::CMB_NVME, Some("nvme")),
        (devices::TWO_PORT_NIC[0], Some("igb")),
        (devices::TWO_PORT_NIC[1], Some("igb")),
        (devices::MULTIPATH_NVME[0], Some("nvme")),
        (devices::MULTIPATH_NVME[1], Some("nvme")),
        (devices::NO_IOMMU, None),
        (devices::EDU, None),
    ];
    for (address, expected) in expected {
        assert!(device(address).exists(), "{address}");
        assert_eq!(driver(address).as_deref(), expected, "{address}");
    }
}

#[test]
fn each_device_for_assignment_has_a_group_of_its_own() {
    let _host = host();
    let alone = [
        devices::NVME,
        devices::IGB,
        devices::DATA_NVME,
        devices::UPLINK,
        devices::CMB_NVME,
        devices::EDU,
    ];
    for address in alone.into_iter().chain(devices::TWO_PORT_NIC) {
        assert_eq!(group(address), [address]);
    }
}

#[test]
fn device_that_the_iommu_leaves_out_has_no_group() {
    let _host = host();
    assert!(!device(devices::NO_IOMMU).join("iommu_group").exists());
}

#[test]
fn shared_group_has_the_bridge_and_both_functions() {
    let _host = host();
    let members = [
        devices::SHARED_BRIDGE,
        devices::SHARED_FREE,
        devices::SHARED_COMPANION,
    ];
    assert_eq!(group(devices::SHARED_FREE), members);
    assert_eq!(group(devices::SHARED_COMPANION), members);
}

#[test]
fn data_disk_is_mounted_from_its_nvme() {
    let _host = host();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(1) == Some(devices::DATA_MOUNT))
        .unwrap();
    let source = mount.split(' ').next().unwrap().trim_start_matches("/dev/");
    let block = fs::canonicalize(Path::new("/sys/class/block").join(source)).unwrap();

    assert!(
        block.starts_with(fs::canonicalize(device(devices::DATA_NVME)).unwrap()),
        "{}",
        block.display()
    );
}

#[test]
fn default_route_goes_through_the_uplink() {
    let _host = host();
    let interfaces = fs::read_dir(device(devices::UPLINK).join("net")).unwrap();
    let interface = interfaces
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .next()
        .unwrap();
    let routes = fs::read_to_string("/proc/net/route").unwrap();
    let default = routes
        .lines()
        .find(|line| line.split_whitespace().nth(1) == Some("00000000"))
        .unwrap();

    assert_eq!(default.split_whitespace().next(), Some(interface.as_str()));
}

#[test]
fn network_card_can_have_virtual_functions() {
    let _host = host();
    let total = fs::read_to_string(device(devices::IGB).join("sriov_totalvfs")).unwrap();
    assert!(total.trim().parse::<u32>().unwrap() >= 2, "{total}");
}
