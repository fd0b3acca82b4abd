//! NVMe disks in `convert` and `validate`: type1 alone.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::process::Output;

use common::run_on;

const DISK: &str = "<disk type='nvme' device='disk'><source type='pci' managed='yes' \
    namespace='1'><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source>\
    <target dev='vda' bus='virtio'/></disk>";

fn passthru(words: &[&str], devices: &str) -> Output {
    let xml = format!(
        "<domain type='kvm'><name>nvme</name><memory unit='GiB'>1</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <devices>{devices}</devices></domain>"
    );
    run_on("nvme", &xml, words)
}

#[test]
fn iommufd_asked_for_by_option_is_refused_with_a_hostdev() {
    let refused = passthru(&["convert", "--backend", "iommufd"], DISK);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(3), "{text}");
    for words in [
        "nvme.xml:1:",
        "disk 'vda': --backend iommufd asks for iommufd",
        "bus='0x01' slot='0x00' function='0x0'/></source></hostdev>",
    ] {
        assert!(text.contains(words), "'{words}' is not in: {text}");
    }

    let converted = passthru(&["convert"], DISK);
    let line = String::from_utf8(converted.stdout).unwrap();
    assert!(
        line.contains(r#"{"driver":"nvme","device":"0000:01:00.0","namespace":1"#),
        "{line}"
    );
}

#[test]
fn disks_on_one_controller_are_valid_with_a_note() {
    let second = DISK.replace("vda", "vdb").replace("'1'", "'2'");
    let valid = passthru(&["validate"], &(DISK.to_owned() + &second));
    let text = String::from_utf8(valid.stderr).unwrap();
    assert_eq!(valid.status.code(), Some(0), "{text}");

    let words = "disk 'vda' and disk 'vdb' are on one controller, 0000:01:00.0";
    assert!(text.contains(words), "{text}");
}
