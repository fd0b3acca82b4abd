//! Commands that plug devices in and out, against the command lines of the domains in `data/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use passthru_domain::device::Item;
use passthru_domain::device::disk::DiskDevice;
use passthru_domain::{Backend, Domain, IommufdObject};
use passthru_qemu::monitor::Command;
use passthru_qemu::{
    Capabilities, FileLocation, NotPluggable, PlugPassing, PlugResolve, PlugStep, Resolve, Style,
    Want, command_line, fragment, iommufd_step, medium, next_node, plug, plug_fragment, unplug,
};
use serde_json::{Value, json};

/// Texts that name the want, for a line and for commands alike.
struct Names;

impl PlugResolve for Names {
    fn text(&self, want: &Want) -> String {
        format!("@{}@", want.name)
    }
}

impl Resolve for Names {
    fn fd(&self, want: &Want) -> String {
        self.text(want)
    }

    fn file(&self, want: &Want) -> FileLocation {
        FileLocation::OtherPath(self.text(want))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter_map(|name| name.strip_suffix(".xml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn complete(name: &str) -> (Domain, Capabilities) {
    let xml = fs::read_to_string(folder().join(format!("{name}.xml"))).unwrap();
    let parsed = Domain::parse(&xml).unwrap();
    let capabilities = Capabilities::builtin(parsed.os.kind.arch.unwrap());
    let mut domain = parsed.complete(&capabilities).unwrap();
    domain.set_default_backend(Backend::Type1);
    (domain, capabilities)
}

/// Returns the JSON objects of a domain's command line, each with its flag.
fn line(domain: &Domain, capabilities: &Capabilities) -> Vec<(String, Value)> {
    let line = command_line(domain, capabilities, Style::Managed).unwrap();
    let words = line.render(&Names);
    let pairs = words.windows(2);
    pairs
        .filter_map(|pair| Some((pair[0].clone(), serde_json::from_str(&pair[1]).ok()?)))
        .filter(|(_, value): &(_, Value)| value.is_object())
        .collect()
}

/// Returns the option that a command of plugging stands for.
fn option_of(step: &PlugStep) -> (String, Value) {
    let (flag, value) = match &step.command {
        Command::DeviceAdd { device } => ("-device", device),
        Command::ObjectAdd { object } => ("-object", object),
        Command::BlockdevAdd { node } => ("-blockdev", node),
        Command::NetdevAdd { netdev } => ("-netdev", netdev),
        other => panic!("{other:?}"),
    };
    (flag.to_owned(), value.clone())
}

#[test]
fn hotplug_gives_the_options_of_the_line() {
    let mut plugged: BTreeMap<String, u32> = BTreeMap::new();
    for name in names() {
        let (domain, capabilities) = complete(&name);
        let line = line(&domain, &capabilities);
        for item in domain.devices.items() {
            let fragment = fragment(&domain, &capabilities, Style::Managed, item).unwrap();
            let Ok(steps) = plug(&fragment, &capabilities, &Names) else {
                continue;
            };
            let options: Vec<_> = steps.iter().map(option_of).collect();
            for option in &options {
                assert!(line.contains(option), "{name}: {item:?}: {option:?}");
            }

            let (flag, device) = options.last().unwrap();
            assert_eq!(flag, "-device");
            let backend = if device.get("iommufd").is_some() {
                " of iommufd"
            } else {
                ""
            };
            let driver = device["driver"].as_str().unwrap();
            *plugged.entry(format!("{driver}{backend}")).or_default() += 1;
            let wants: Vec<_> = steps.iter().flat_map(|step| &step.wants).collect();
            assert_eq!(wants, fragment.wants(), "{name}: {item:?}");
        }

        for object in domain.iommufd_objects() {
            let option = option_of(&iommufd_step(&object, &Names));
            assert!(line.contains(&option), "{name}: {option:?}");
        }
    }

    for driver in [
        "vfio-pci",
        "vfio-pci of iommufd",
        "virtio-blk-pci",
        "virtio-blk-ccw",
        "scsi-hd",
        "scsi-block",
        "virtio-net-pci",
        "virtio-net-ccw",
        "e1000e",
    ] {
        assert!(plugged.contains_key(driver), "{driver}: {plugged:?}");
    }
}

#[test]
fn media_are_the_block_nodes_of_the_line() {
    let mut media = 0;
    for name in names() {
        let (domain, capabilities) = complete(&name);
        let line = line(&domain, &capabilities);
        for (number, disk) in domain.devices.disks.iter().enumerate() {
            if disk.device != Some(DiskDevice::Cdrom) {
                continue;
            }
            let item = Item::Disk(number);
            let fragment = fragment(&domain, &capabilities, Style::Managed, item).unwrap();
            // A medium of the network may need a secret, which QEMU gets at its start alone.
            let Ok(medium) = medium(&fragment, &Names) else {
                continue;
            };
            for step in &medium.steps {
                assert!(line.contains(&option_of(step)), "{name}: {step:?}");
            }
            let Some(last) = medium.steps.last() else {
                continue;
            };
            let (_, node) = option_of(last);
            let name = node["node-name"].as_str();
            assert_eq!(medium.node.as_deref(), name);
            media += 1;
        }
    }

    assert!(media > 1, "{media}");
}

#[test]
fn refusal_names_the_device_and_the_reason() {
    let mut reasons = BTreeSet::new();
    for name in names() {
        let (domain, capabilities) = complete(&name);
        for item in domain.devices.items() {
            let fragment = fragment(&domain, &capabilities, Style::Managed, item).unwrap();
            if let Err(NotPluggable { device, reason }) = plug(&fragment, &capabilities, &Names) {
                let device = device.trim_end_matches(|c: char| c.is_ascii_digit() || c == '\'');
                reasons.insert(format!("{device}: {reason}"));
            }
        }
    }

    for reason in [
        "the device: it is part of the machine",
        "device 'sata0-0-: a bus of IDE or SATA disks has no hotplug",
        "device 'pci.: the root bus pcie.0 has no hotplug: use a root port",
        "device 'serial: QEMU takes its option -chardev at the start alone",
    ] {
        assert!(reasons.contains(reason), "{reason}: {reasons:#?}");
    }

    let all: Vec<_> = reasons.into_iter().collect();

    assert!(
        all.iter().any(|reason| reason.contains("its secret")),
        "{all:#?}"
    );
}

fn guest(devices: &str) -> (Domain, Capabilities) {
    let xml = format!(
        "<domain type='kvm'><name>vm</name><memory unit='MiB'>256</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <devices>{devices}</devices></domain>"
    );
    let parsed = Domain::parse(&xml).unwrap();
    let capabilities = Capabilities::builtin(parsed.os.kind.arch.unwrap());
    let domain = parsed.complete(&capabilities).unwrap();
    domain.validate(&capabilities).unwrap();
    (domain, capabilities)
}

/// Two disks: an image with another one below, and a raw one.
const DISKS: &str = "<disk type='file'><driver name='qemu' type='qcow2'/>\
     <source file='/images/a.qcow2'/>\
     <backingStore type='file'><format type='raw'/><source file='/images/base.img'/>\
     </backingStore><target dev='vda' bus='virtio'/></disk>\
     <disk type='block'><source dev='/dev/vg/b'/><target dev='vdb' bus='virtio'/></disk>";

#[test]
fn unplugged_disk_loses_its_nodes_from_the_top() {
    let (domain, capabilities) = guest(DISKS);
    let fragment = plug_fragment(&domain, &capabilities, Item::Disk(0), 7).unwrap();
    let steps = plug(&fragment, &capabilities, &Names).unwrap();
    let made: Vec<_> = steps
        .iter()
        .filter_map(|step| match &step.command {
            Command::BlockdevAdd { node } => Some(node["node-name"].clone()),
            _ => None,
        })
        .collect();

    assert_eq!(
        made,
        ["libvirt-8-storage", "libvirt-7-storage", "libvirt-7-format"]
    );

    let unplug = unplug(&fragment).unwrap();
    assert_eq!(unplug.device, "virtio-disk0");

    let id = unplug.device.clone();
    assert_eq!(unplug.request, Command::DeviceDel { id });

    let removed: Vec<_> = unplug
        .cleanup
        .iter()
        .map(|command| match command {
            Command::BlockdevDel { node_name } => node_name.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        removed,
        ["libvirt-7-format", "libvirt-7-storage", "libvirt-8-storage"]
    );
}

#[test]
fn nodes_of_a_plugged_disk_are_numbered_above_all() {
    let (domain, capabilities) = guest(DISKS);
    let line = command_line(&domain, &capabilities, Style::Managed).unwrap();
    let names: Vec<_> = line
        .options
        .iter()
        .filter_map(|option| option.id())
        .collect();
    let next = next_node(names);

    assert_eq!(next, 4, "one of vdb, two of vda");

    let fragment = plug_fragment(&domain, &capabilities, Item::Disk(1), next).unwrap();
    let ids: Vec<_> = fragment
        .options
        .iter()
        .filter_map(|option| option.id())
        .collect();
    assert_eq!(ids, ["libvirt-4-storage", "virtio-disk1"]);
    assert_eq!(next_node(ids), 5);

    let odd = ["libvirt-18446744073709551615-x", "libvirt-x", "#block12"];
    assert_eq!(next_node(odd), 1);
    assert_eq!(next_node([]), 1);
}

#[test]
fn unplugged_card_loses_its_end_on_the_host() {
    let (domain, capabilities) = guest(
        "<interface type='user'><model type='virtio'/></interface>\
         <interface type='ethernet'><target dev='tap7'/><model type='virtio'/>\
         <driver name='vhost' queues='2'/></interface>",
    );
    let tap = plug_fragment(&domain, &capabilities, Item::Interface(1), 1).unwrap();
    let steps = plug(&tap, &capabilities, &Names).unwrap();
    let (flag, netdev) = option_of(&steps[0]);

    assert_eq!(flag, "-netdev");
    assert_eq!(netdev["fds"], "@net1-tap0@:@net1-tap1@");
    assert_eq!(netdev["vhostfds"], "@net1-vhost0@:@net1-vhost1@");

    let passings: Vec<_> = steps[0].wants.iter().map(Want::plug_passing).collect();
    assert_eq!(passings, [Some(PlugPassing::Name); 4]);
    assert_eq!(steps[1].wants, []);

    let user = plug_fragment(&domain, &capabilities, Item::Interface(0), 1).unwrap();
    let unplug = unplug(&user).unwrap();
    assert_eq!(unplug.device, "net0");

    let id = "hostnet0".to_owned();
    assert_eq!(unplug.cleanup, [Command::NetdevDel { id }]);
}

fn cdrom(source: &str) -> (Domain, Capabilities) {
    guest(&format!(
        "<disk type='file' device='cdrom'>{source}<target dev='sda' bus='sata'/></disk>"
    ))
}

#[test]
fn medium_of_a_sata_drive_comes_without_the_drive() {
    let (domain, capabilities) = cdrom("<source file='/images/install.iso'/>");
    let fragment = plug_fragment(&domain, &capabilities, Item::Disk(0), 5).unwrap();
    plug(&fragment, &capabilities, &Names).unwrap_err();
    let full = medium(&fragment, &Names).unwrap();

    assert_eq!(full.node.as_deref(), Some("libvirt-5-storage"));

    let expected = json!({
        "driver": "file", "filename": "@libvirt-5-storage@",
        "node-name": "libvirt-5-storage", "read-only": true,
    });
    assert_eq!(
        option_of(&full.steps[0]),
        ("-blockdev".to_owned(), expected)
    );

    let passing = full.steps[0].wants[0].plug_passing();
    assert_eq!(passing, Some(PlugPassing::FdSet));

    let node_name = "libvirt-5-storage".to_owned();
    assert_eq!(full.cleanup, [Command::BlockdevDel { node_name }]);

    let (domain, capabilities) = cdrom("");
    let fragment = plug_fragment(&domain, &capabilities, Item::Disk(0), 6).unwrap();
    let empty = medium(&fragment, &Names).unwrap();
    assert_eq!(
        (empty.node, empty.steps, empty.cleanup),
        (None, vec![], vec![])
    );
}

#[test]
fn iommufd_object_takes_the_number_of_a_descriptor() {
    let object = IommufdObject {
        id: "iommufd0".into(),
        fd: None,
    };
    let step = iommufd_step(&object, &Names);
    let expected = json!({ "qom-type": "iommufd", "id": "iommufd0", "fd": "@iommufd0@" });
    assert_eq!(step.command, Command::ObjectAdd { object: expected });

    let [want] = step.wants.as_slice() else {
        panic!("{:?}", step.wants)
    };
    let passing = want.plug_passing();
    assert_eq!(passing, Some(PlugPassing::Number));
}
