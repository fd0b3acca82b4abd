//! Disks and network cards, which have parts in the VMM besides the device.

use std::fs;

use passthru_guest::DetachSettings;
use passthru_lab::host;
use passthru_qemu::monitor::{Answer, BlockNode, Command, Drive};

use super::support::{COUNT, LiveDomain, LiveGuest};

/// Script of a guest that prints the first word of each disk that appears, and writes another one.
/// The guest's kernel has a disk `sda` of its own.
const DISKS: &str = "echo ready; while true; do for d in vda sdb; do if [ -b /dev/$d ]; then \
     echo $d has $(head -c 5 /dev/$d); if echo wrote > /dev/$d; then sync; fi; echo $d done; \
     while [ -b /dev/$d ]; do sleep 0.1; done; echo $d gone; fi; done; sleep 0.1; done";

fn disk(path: &str, target: &str, bus: &str, more: &str) -> String {
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/>\
         <target dev='{target}' bus='{bus}'/>{more}</disk>"
    )
}

fn start(name: &'static str, devices: &str) -> LiveGuest {
    let mut domain = LiveDomain::new(name).with(devices);
    domain.script = DISKS;
    let mut guest = domain.start();
    guest.wait_for("ready");
    guest
}

/// Makes an image whose first word is `first`.
fn image(name: &str) -> String {
    let path = format!("/tmp/{name}.img");
    let mut contents = b"first".to_vec();
    contents.resize(1 << 20, 0);
    fs::write(&path, contents).unwrap();
    path
}

fn first_word(path: &str) -> String {
    let contents = fs::read(path).unwrap();
    String::from_utf8_lossy(&contents[..5]).into_owned()
}

#[test]
fn disk_is_attached_and_detached() {
    let _lab = host();
    let mut guest = start("disks", "<controller type='scsi' model='virtio-scsi'/>");
    let files = guest.open_files();
    for (name, target, bus) in [("vda", "vdb", "virtio"), ("sdb", "sda", "scsi")] {
        for more in ["", "<readonly/>"] {
            let path = image("hotplug");
            let end = guest.attach(&disk(&path, target, bus, more));
            end.result.unwrap();
            guest.wait_for(&format!("{name} has first"));
            guest.wait_for(&format!("{name} done"));
            let expected = if more.is_empty() { "wrote" } else { "first" };
            assert_eq!(first_word(&path), expected, "{bus}");

            let settings = DetachSettings::default();
            guest.detach(&end.aliases[0], settings).result.unwrap();
            guest.wait_for(&format!("{name} gone"));
            assert!(!guest.open_files().contains_key(&path));
            assert!(guest.guest.domain().devices.disks.is_empty());
        }
    }

    assert_eq!(guest.open_files().get("/dev/null"), files.get("/dev/null"));

    guest.end();
}

#[test]
fn disk_of_the_start_is_detached() {
    let _lab = host();
    let path = image("hotplug-start");
    let mut guest = start("start-disk", &disk(&path, "vdb", "virtio", ""));
    guest.wait_for("vda done");
    let settings = DetachSettings::default();
    guest.detach("virtio-disk1", settings).result.unwrap();
    guest.wait_for("vda gone");

    // Its node's name is free, and its image can be attached again.
    let end = guest.attach(&disk(&path, "vdb", "virtio", ""));
    end.result.unwrap();
    guest.wait_for("vda has wrote");
    guest.end();
}

#[test]
fn disk_that_fails_leaves_nothing() {
    let _lab = host();
    let path = image("hotplug-fails");
    let mut guest = start("disk-fails", "");
    let files = guest.open_files();
    let missing = guest.attach(&disk(&path, "vdb", "virtio", "<serial>a</serial>"));
    missing.result.unwrap();
    guest.wait_for("vda done");

    // A second writer of the image is refused by QEMU's lock on it.
    let twice = guest.attach(&disk(&path, "vdc", "virtio", ""));
    let error = twice.result.unwrap_err();
    let text = format!("{error}: {:?}", std::error::Error::source(&error));

    assert!(text.contains("lock"), "{text}");
    assert_eq!(guest.guest.domain().devices.disks.len(), 1);

    let settings = DetachSettings::default();
    guest.detach(&missing.aliases[0], settings).result.unwrap();
    guest.wait_for("vda gone");
    assert!(!guest.open_files().contains_key(&path));
    assert_eq!(guest.open_files().get("/dev/null"), files.get("/dev/null"));

    guest.end();
}

#[test]
fn card_of_the_user_network_comes_and_goes() {
    let _lab = host();
    let mut domain = LiveDomain::new("card");
    domain.script = COUNT;
    let mut guest = domain.start();
    guest.wait_for("pci ");
    let count: u32 = guest.read_word().parse().unwrap();
    for _ in 0..2 {
        let card = "<interface type='user'><model type='e1000e'/></interface>";
        let end = guest.attach(card);
        end.result.unwrap();
        guest.wait_for(&format!("pci {} devices", count + 1));
        let settings = DetachSettings::default();
        guest.detach(&end.aliases[0], settings).result.unwrap();
        guest.wait_for(&format!("pci {count} devices"));
        assert!(guest.guest.domain().devices.interfaces.is_empty());
    }

    guest.end();
}

/// Returns the medium of the guest's drive, as QEMU has it: its block node and whether its tray is
/// open.
fn medium(guest: &mut LiveGuest) -> (Option<String>, Option<bool>) {
    let answer = guest.ask(&Command::QueryBlock).unwrap();
    let drives = Vec::<Drive>::read(answer).unwrap();
    let mut drives = drives.into_iter().filter(|drive| drive.qdev.is_some());
    let drive = drives.next().unwrap();
    let node = drive.inserted.and_then(|node| node.node_name);
    (node, drive.tray_open)
}

fn drive(source: &str) -> String {
    format!(
        "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{source}\
         <target dev='sda' bus='sata'/><readonly/></disk>"
    )
}

#[test]
fn medium_of_a_drive_is_changed() {
    let _lab = host();
    let paths = ["cd-a", "cd-b"].map(image);
    let sources = paths.map(|path| format!("<source file='{path}'/>"));
    let mut guest = start("medium", &drive(&sources[0]));
    let mut seen = vec![medium(&mut guest)];
    for source in [&sources[1], &sources[0], "", &sources[1]] {
        guest.attach(&drive(source)).result.unwrap();
        let now = medium(&mut guest);
        assert_eq!(now.0.is_none(), source.is_empty());
        assert_eq!(now.1, Some(false));
        assert!(now.0.is_none() || !seen.contains(&now), "{now:?}");
        seen.push(now);

        // The nodes of the former medium are gone.
        let nodes = guest.ask(&Command::QueryNamedBlockNodes).unwrap();
        let nodes = Vec::<BlockNode>::read(nodes).unwrap();
        assert!(nodes.len() <= 2, "{nodes:?}");
    }

    let missing = drive("<source file='/nonexistent'/>");
    let before = medium(&mut guest);

    assert!(guest.attach(&missing).result.is_err());
    assert_eq!(medium(&mut guest), before);

    guest.end();
}
