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
