//! Attach.

use passthru_guest::DetachSettings;
use passthru_lab::devices::{NVME, NVME_SHA256};
use passthru_lab::host;

use super::support::{LiveDomain, host_state, hostdev};

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
    guest.wait_for("gone");
    assert_eq!(host_state(lab, NVME), before);
    assert!(guest.guest.domain().devices.hostdevs.is_empty());

    guest.end();
    assert_eq!(host_state(lab, NVME), before);
}
