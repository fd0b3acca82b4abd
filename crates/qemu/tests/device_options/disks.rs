//! Disks, and firmware variables on network storage.

use passthru_qemu::Style;
use serde_json::Value;

use crate::helpers::{domain, guest, line, objects, try_line};

#[test]
fn lun_has_no_write_cache() {
    let disk = |device: &str| {
        guest(&format!(
            "<controller type='scsi' model='virtio-scsi'/><disk type='block' device='{device}'>\
             <driver name='qemu' type='raw' cache='none'/><source dev='/dev/disk/by-id/example'/>\
             <target dev='sda' bus='scsi'/></disk>"
        ))
    };
    let lun = line(&disk("lun"), Style::Managed);
    assert_eq!(
        objects(&lun, "-device", "scsi-block")[0].get("write-cache"),
        None
    );

    let disk = line(&disk("disk"), Style::Managed);
    assert_eq!(objects(&disk, "-device", "scsi-hd")[0]["write-cache"], "on");
}

#[test]
fn empty_drive_has_a_node_number() {
    let xml = guest(
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
         <source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>\
         <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>",
    );
    let line = line(&xml, Style::Managed);
    let disk = &objects(&line, "-device", "virtio-blk-pci")[0];
    assert_eq!(disk["drive"], "libvirt-2-format");
    assert_eq!(
        objects(&line, "-blockdev", "qcow2")[0]["file"],
        "libvirt-2-storage"
    );
    assert_eq!(objects(&line, "-device", "ide-cd")[0].get("drive"), None);
}

fn network_disk(source: &str) -> String {
    guest(&format!(
        "<disk type='network' device='disk'><driver name='qemu' type='raw'/>{source}\
         <target dev='vda' bus='virtio'/></disk>"
    ))
}

#[test]
fn reconnect_delay_of_an_nbd_disk_is_in_seconds() {
    let nbd = |reconnect: &str| {
        network_disk(&format!(
            "<source protocol='nbd' name='export'><host name='a'/>{reconnect}</source>"
        ))
    };
    for (reconnect, printed) in [
        ("<reconnect delay='10'/>", Some(10)),
        ("<reconnect delay='0'/>", None),
        ("", None),
    ] {
        let line = line(&nbd(reconnect), Style::Managed);
        let delay = objects(&line, "-blockdev", "nbd")[0]
            .get("reconnect-delay")
            .cloned();
        assert_eq!(delay.as_ref().and_then(Value::as_u64), printed);
    }

    let of_sockets = nbd("<reconnect enabled='yes' timeout='10'/>");
    let of_iscsi = network_disk(
        "<source protocol='iscsi' name='iqn.2026-01.net.example:a/1'><host name='a'/>\
         <reconnect delay='10'/></source>",
    );
    for xml in [of_sockets, of_iscsi] {
        let error = try_line(&xml, Style::Managed).unwrap_err();
        assert!(error.contains("for the protocol 'nbd' only"), "{error}");
    }
}

fn encrypted(engine: &str) -> String {
    network_disk(&format!(
        "<source protocol='rbd' name='pool/image'><encryption format='luks-any' \
         engine='{engine}'><secret type='passphrase' usage='upper'/>\
         <secret type='passphrase' usage='lower'/></encryption></source>"
    ))
}

#[test]
fn layers_of_a_ceph_image_are_nested_from_the_first_secret() {
    let line = line(&encrypted("librbd"), Style::Managed);
    let secrets = objects(&line, "-object", "secret");
    let ids: Vec<_> = secrets.iter().map(|secret| &secret["id"]).collect();
    let keys = ["0", "1"].map(|n| format!("libvirt-1-storage-encryption-secret{n}"));

    assert_eq!(ids[1..], [&keys[0][..], &keys[1][..]]);

    let expected = serde_json::json!({
        "format": "luks-any",
        "key-secret": keys[0],
        "parent": { "format": "luks-any", "key-secret": keys[1] },
    });
    assert_eq!(objects(&line, "-blockdev", "rbd")[0]["encrypt"], expected);
}

#[test]
fn layers_of_encryption_need_librbd() {
    let error = try_line(&encrypted("qemu"), Style::Managed).unwrap_err();
    assert!(error.contains("are for engine='librbd' only"), "{error}");
}

const VARIABLES_BY_ISCSI: &str = "<type arch='x86_64' machine='q35'>hvm</type>\
    <loader readonly='yes' type='pflash'>/code.fd</loader><nvram type='network'>\
    <source protocol='iscsi' name='iqn.2026-01.net.example:vars/2'><host name='a'/>\
    <auth username='host7'><secret type='iscsi' usage='vars'/></auth></source></nvram>";

#[test]
fn login_to_the_host_of_variables_has_its_secret() {
    let xml = domain(VARIABLES_BY_ISCSI, "");
    let xml = xml.replace("<devices>", "<features><acpi/></features><devices>");
    let line = line(&xml, Style::Managed);
    let node = &objects(&line, "-blockdev", "iscsi")[0];
    let id = "libvirt-pflash1-storage-auth-secret0";

    assert_eq!(node["user"], "host7");
    assert_eq!(node["password-secret"], id);
    assert_eq!(objects(&line, "-object", "secret")[1]["id"], id);

    let by_nbd = xml.replace("iscsi' name", "nbd' name");
    let error = try_line(&by_nbd, Style::Managed).unwrap_err();
    assert!(error.contains("for the protocol 'iscsi' only"), "{error}");
}

#[test]
fn product_of_an_ata_disk_is_its_model() {
    let disk = |bus: &str| {
        let xml = guest(&format!(
            "<disk type='file' device='disk'><source file='/a'/><target dev='sda' bus='{bus}'/>\
             <vendor>ACME</vendor><product>Rotor 1</product></disk>"
        ));
        line(&xml, Style::Managed)
    };
    let sata = &objects(&disk("sata"), "-device", "ide-hd")[0];
    assert_eq!(sata["model"], "Rotor 1");
    assert_eq!((sata.get("vendor"), sata.get("product")), (None, None));

    let scsi = &objects(&disk("scsi"), "-device", "scsi-hd")[0];
    assert_eq!(scsi["product"], "Rotor 1");
    assert_eq!(scsi["vendor"], "ACME");
}

/// Returns a guest with an overlay, whose numbers in a running chain are given.
fn overlay(number: &str, below: &str) -> String {
    guest(&format!(
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
         <source file='/b.qcow2' {number}/><backingStore type='file' {below}>\
         <format type='raw'/><source file='/a.img'/><backingStore/></backingStore>\
         <target dev='vda' bus='virtio'/></disk>"
    ))
}

#[test]
fn numbers_of_a_running_chain_have_no_effect() {
    let running = line(&overlay("index='2'", "index='1'"), Style::Managed);
    assert_eq!(running, line(&overlay("", ""), Style::Managed));
}
