//! A device that is plugged in later has the options that it would have had from the start.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use passthru_domain::device::Item;
use passthru_domain::{Backend, DeviceDocument, Domain};
use passthru_qemu::{Capabilities, Opt, plug_fragment};

/// Controllers of a guest: two spare ports, a SCSI controller, and no other PCI device.
const CONTROLLERS: &str = "<controller type='usb' model='none'/><memballoon model='none'/>\
     <controller type='pci' index='1' model='pcie-root-port'/>\
     <controller type='pci' index='2' model='pcie-root-port'/>\
     <controller type='pci' index='3' model='pcie-root-port'/>\
     <controller type='scsi' model='virtio-scsi'>\
     <address type='pci' bus='3' slot='0'/></controller>";

fn capabilities() -> Capabilities {
    Capabilities::builtin(passthru_domain::Arch::X86_64)
}

/// Returns a guest with devices, which has got the default backend of `convert`.
fn guest(devices: &str) -> Domain {
    let xml = format!(
        "<domain type='kvm'><name>vm</name><memory unit='MiB'>256</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <devices>{CONTROLLERS}{devices}</devices></domain>"
    );
    let parsed = Domain::parse(&xml).unwrap();
    let mut domain = parsed.complete(&capabilities()).unwrap();
    domain.validate(&capabilities()).unwrap();
    domain.set_default_backend(Backend::Type1);
    domain
}

fn options(domain: &Domain, item: Item) -> Vec<Opt> {
    let fragment = plug_fragment(domain, &capabilities(), item, 9);
    fragment.unwrap().options
}

#[test]
fn plugged_device_has_the_options_of_the_start() {
    for device in [
        "<hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio' iommufd='yes'/>\
         <source><address bus='4' slot='0'/></source></hostdev>",
        "<hostdev mode='subsystem' type='pci'><source><address bus='4' slot='0'/></source>\
         <rom bar='off'/></hostdev>",
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci'>\
         <source><address uuid='83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'/></source></hostdev>",
        "<interface type='hostdev'><source><address type='pci' bus='4'/></source></interface>",
        "<interface type='user'><model type='virtio'/></interface>",
        "<interface type='ethernet'><target dev='tap0'/><model type='virtio'/>\
         <driver queues='4'/></interface>",
        "<interface type='user'><model type='e1000e'/></interface>",
        "<disk type='file'><driver type='qcow2' cache='none'/><source file='/a.qcow2'/>\
         <target dev='vdc' bus='virtio'/><serial>s 1</serial></disk>",
        "<disk type='block'><source dev='/dev/vg/a'/><target dev='sdb' bus='scsi'/></disk>",
        "<disk type='file' device='cdrom'><target dev='sda' bus='scsi'/></disk>",
    ] {
        let document = DeviceDocument::parse(device).unwrap();
        let running = guest("");
        let plugged = running.plug(document, &capabilities(), &BTreeSet::new());
        let mut plugged = plugged.unwrap();
        plugged.domain.set_default_backend(Backend::Type1);
        let [item] = plugged.items.as_slice() else {
            panic!("{device}: {:?}", plugged.items)
        };

        let started = guest(device);
        let expected = options(&started, *item);
        let got = options(&plugged.domain, *item);
        assert_eq!(got, expected, "{device}");
        let objects = plugged.domain.iommufd_objects();
        assert_eq!(objects, started.iommufd_objects(), "{device}");
    }
}
