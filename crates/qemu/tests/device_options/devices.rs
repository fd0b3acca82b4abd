//! Shared memory, folders, PCI addresses, serial ports and memory devices.

use passthru_qemu::Style;
use serde_json::Value;

use crate::helpers::{guest, line, objects, try_line, values};

#[test]
fn role_of_shared_memory_is_a_word() {
    let xml = guest(
        "<shmem name='frames' role='peer'><model type='ivshmem-plain'/><size unit='M'>4</size>\
         </shmem><shmem name='bell' role='master'><model type='ivshmem-doorbell'/></shmem>",
    );
    let line = line(&xml, Style::Managed);
    assert_eq!(
        objects(&line, "-device", "ivshmem-plain")[0]["master"],
        "off"
    );
    assert_eq!(
        objects(&line, "-device", "ivshmem-doorbell")[0]["master"],
        "on"
    );
}

#[test]
fn permissions_of_a_folder_are_octal_with_a_zero() {
    let folder = |modes: &str| {
        guest(&format!(
            "<filesystem type='mount' accessmode='mapped' {modes}><source dir='/srv/share'/>\
             <target dir='share'/></filesystem>"
        ))
    };
    for modes in ["fmode='644' dmode='755'", "fmode='0644' dmode='0755'"] {
        let line = line(&folder(modes), Style::Managed);
        let fsdev = values(&line, "-fsdev")[0];
        assert!(fsdev.contains(",fmode=0644,dmode=0755,"), "{fsdev}");
    }

    for mode in ["888", "1000", "+644", "rw"] {
        let error = try_line(&folder(&format!("fmode='{mode}'")), Style::Managed).unwrap_err();
        assert!(error.contains("expected permissions in octal"), "{error}");
    }
}

#[test]
fn multifunction_is_on_the_line_as_it_is_given() {
    for (given, printed) in [
        ("multifunction='off'", Some(false)),
        ("multifunction='on'", Some(true)),
        ("", None),
    ] {
        let xml = guest(&format!(
            "<rng model='virtio'><backend model='random'>/dev/urandom</backend>\
             <address type='pci' bus='0' slot='4' {given}/></rng>"
        ));
        let line = line(&xml, Style::Managed);
        let rng = &objects(&line, "-device", "virtio-rng-pci")[0];
        assert_eq!(rng.get("multifunction").and_then(Value::as_bool), printed);
    }
}

#[test]
fn isa_serial_port_with_an_iobase_has_its_index() {
    let xml = guest(
        "<serial type='pty'><target type='isa-serial' port='1'/>\
         <address type='isa' iobase='0x2f8' irq='0x3'/></serial>",
    );
    let line = line(&xml, Style::Managed);
    let serial = &objects(&line, "-device", "isa-serial")[0];
    assert_eq!(
        (&serial["index"], &serial["iobase"], &serial["irq"]),
        (&Value::from(1), &Value::from(0x2f8), &Value::from(3))
    );
}

#[test]
fn persistent_memory_is_not_allocated_at_the_start() {
    let nvdimm = |pmem: &str| {
        format!(
            "<memory model='nvdimm'><uuid>00000000-0000-4000-8000-000000000002</uuid>\
             <source><path>/srv/nvdimm</path>{pmem}</source>\
             <target><size unit='MiB'>256</size><node>0</node></target></memory>"
        )
    };
    let virtio = "<memory model='virtio-pmem' access='shared'><source><path>/srv/pmem</path>\
                  </source><target><size unit='MiB'>256</size></target></memory>";
    for (device, printed) in [
        (nvdimm(""), Some(true)),
        (nvdimm("<pmem/>"), None),
        (virtio.to_owned(), None),
    ] {
        let xml = guest(&device).replace(
            "<devices>",
            "<maxMemory unit='GiB' slots='4'>4</maxMemory>\
             <cpu><numa><cell id='0' cpus='0' memory='256' unit='MiB'/></numa></cpu><devices>",
        );
        let line = line(&xml, Style::Managed);
        let files = objects(&line, "-object", "memory-backend-file");
        assert_eq!(files.len(), 1, "{line:?}");
        assert_eq!(files[0].get("prealloc").and_then(Value::as_bool), printed);
    }
}

#[test]
fn device_that_a_set_argument_changes_is_a_list() {
    let set = "<qemu:commandline><qemu:arg value='-set'/>\
               <qemu:arg value='device.hostdev0.x-igd-opregion=on'/></qemu:commandline></domain>";
    let hostdev = "<hostdev mode='subsystem' type='pci'><source>\
                   <address bus='1' slot='0' function='0'/></source><rom bar='off'/></hostdev>";
    let xml = guest(hostdev).replace("</domain>", set).replace(
        "type='kvm'",
        "type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'",
    );
    let line = line(&xml, Style::Managed);
    let lists = values(&line, "-device")
        .into_iter()
        .filter(|value| !value.starts_with('{'));
    let lists: Vec<_> = lists.collect();
    let expected = [
        "pcie-root-port,port=9,chassis=2,id=pci.2,bus=pcie.0,addr=0x1.0x1",
        "vfio-pci,host=0000:01:00.0,id=hostdev0,bus=pci.2,addr=0x0,rombar=0",
    ];

    assert_eq!(lists, expected);
    assert_eq!(values(&line, "-set"), ["device.hostdev0.x-igd-opregion=on"]);
}
