//! Several devices in one change, and objects that stay.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

use passthru_guest::DetachSettings;
use passthru_lab::devices::{NVME, SHARED_COMPANION, SHARED_FREE, TWO_PORT_NIC};
use passthru_lab::host;

use super::support::{COUNT, LiveDomain, LiveGuest, host_state, hostdev};

/// Attaches two devices by one document, which the guest sees as `seen` more, and detaches both by
/// the alias of one.
fn come_and_go(guest: &mut LiveGuest, pair: [&str; 2], detached: &[&str], before: u32) {
    let lab = host();
    let states = pair.map(|device| host_state(lab, device));
    let document = format!(
        "<devices>{}{}</devices>",
        hostdev(pair[0], ""),
        hostdev(pair[1], "")
    );
    let end = guest.attach(&document);
    end.result.unwrap();
    assert_eq!(end.aliases.len(), 2);
    guest.wait_for(&format!("pci {} devices", before + 2));

    for alias in detached {
        let end = guest.detach(alias, DetachSettings::default());
        end.result.unwrap();
        assert!(end.not_restored.is_empty(), "{:?}", end.not_restored);
    }

    guest.wait_for(&format!("pci {before} devices"));
    assert_eq!(pair.map(|device| host_state(lab, device)), states);
    assert!(guest.guest.domain().devices.hostdevs.is_empty());
    assert!(!guest.has_object("iommufd0"));
}

/// Starts a guest that counts its PCI devices, and returns their number.
fn start(name: &'static str) -> (LiveGuest, u32) {
    let mut domain = LiveDomain::new(name);
    domain.script = COUNT;
    let mut guest = domain.start();
    guest.wait_for("pci ");
    let count = guest.read_word().parse().unwrap();
    (guest, count)
}

#[test]
fn two_port_nic_attaches_as_one() {
    let (mut guest, count) = start("two-ports");
    // The functions share a slot, which the guest ejects as a whole.
    let last = TWO_PORT_NIC[1];
    come_and_go(&mut guest, TWO_PORT_NIC, &[last], count);
    guest.end();
}

#[test]
fn shared_group_attaches_whole_or_not() {
    let lab = host();
    let (mut guest, count) = start("group");
    let before = host_state(lab, SHARED_FREE);
    let end = guest.attach(&hostdev(SHARED_FREE, ""));
    let error = end.result.unwrap_err().to_string();

    assert!(error.contains(SHARED_COMPANION), "{error}");
    assert_eq!(host_state(lab, SHARED_FREE), before);

    let pair = [SHARED_FREE, SHARED_COMPANION];
    come_and_go(&mut guest, pair, &pair, count);
    guest.end();
}

#[test]
fn object_of_fdgroup_stays_after_the_last_detach() {
    let lab = host();
    let before = host_state(lab, NVME);
    let iommu = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/iommu")
        .unwrap();
    let number = u32::try_from(iommu.as_raw_fd()).unwrap();
    let mut domain = LiveDomain::new("fdgroup");
    domain.top = "<iommufd enabled='yes' fdgroup='group'/>";
    domain.named.insert("group".into(), number);
    let mut guest = domain.start();
    drop(iommu);
    guest.wait_for("ready");

    assert!(guest.has_object("iommufd0"));

    for _ in 0..2 {
        guest.attach(&hostdev(NVME, "")).result.unwrap();
        guest.wait_for("sum");
        let settings = DetachSettings::default();
        guest.detach(NVME, settings).result.unwrap();
        guest.wait_for("gone");
        assert!(guest.has_object("iommufd0"));
        assert_eq!(host_state(lab, NVME), before);
    }

    guest.end();
}
