//! Options of single devices, as words of a whole command line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use passthru_domain::{Arch, Domain};
use passthru_qemu::{Capabilities, Placeholders, Style, command_line};
use serde_json::Value;

/// Returns a q35 guest with these devices.
fn guest(devices: &str) -> String {
    domain("<type arch='x86_64' machine='q35'>hvm</type>", devices)
}

/// Returns a guest with these contents of `<os>` and these devices.
fn domain(os: &str, devices: &str) -> String {
    format!(
        "<domain type='kvm'><name>vm</name><memory unit='MiB'>512</memory>\
         <os>{os}</os><devices>{devices}</devices></domain>"
    )
}

/// Returns the words of a guest's command line.
#[track_caller]
fn line(xml: &str, style: Style) -> Vec<String> {
    try_line(xml, style).unwrap_or_else(|e| panic!("{e}"))
}

fn try_line(xml: &str, style: Style) -> Result<Vec<String>, String> {
    let parsed = Domain::parse(xml).map_err(|e| e.to_string())?;
    let capabilities = Capabilities::builtin(parsed.os.kind.arch.unwrap());
    let domain = parsed.complete(&capabilities).map_err(|e| e.to_string())?;
    domain.validate(&capabilities).map_err(|e| e.to_string())?;
    let line = command_line(&domain, &capabilities, style).map_err(|e| e.to_string())?;
    Ok(line.render(&Placeholders))
}

/// Returns the values of a flag.
fn values<'a>(line: &'a [String], flag: &str) -> Vec<&'a str> {
    let pairs = line.iter().zip(line.iter().skip(1));
    let of_flag = pairs.filter(|(word, _)| *word == flag);
    of_flag.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn spice_without_a_password_disables_ticketing() {
    let xml = guest(
        "<graphics type='spice' port='5903' tlsPort='5904'>\
         <listen type='address' address='127.0.0.1'/><mouse mode='client'/></graphics>",
    );
    for style in [Style::Managed, Style::Standalone] {
        assert_eq!(
            values(&line(&xml, style), "-spice"),
            [
                "port=5903,tls-port=5904,addr=127.0.0.1,agent-mouse=on,disable-ticketing=on,\
              x509-dir=/etc/pki/libvirt-spice,seamless-migration=on"
            ]
        );
    }
}

#[test]
fn password_of_a_screen_is_not_on_the_command_line() {
    for kind in ["spice", "vnc"] {
        let xml = guest(&format!("<graphics type='{kind}' passwd='velvet'/>"));
        let line = line(&xml, Style::Managed);
        assert!(!line.iter().any(|word| word.contains("velvet")), "{line:?}");
        let has_no_ticket = line.iter().any(|word| word.contains("disable-ticketing"));
        assert!(!has_no_ticket, "{line:?}");
    }
}

#[test]
fn keymap_of_a_screen_gives_a_keyboard_layout() {
    for kind in ["spice", "vnc"] {
        let xml = guest(&format!("<graphics type='{kind}' keymap='fr'/>"));
        assert_eq!(values(&line(&xml, Style::Managed), "-k"), ["fr"], "{kind}");
    }
}

/// Returns the options of a flag whose value is a JSON object of this driver or type.
fn objects(line: &[String], flag: &str, driver: &str) -> Vec<Value> {
    let all = values(line, flag)
        .into_iter()
        .filter_map(|value| serde_json::from_str::<Value>(value).ok());
    all.filter(|object| object["driver"] == driver || object["qom-type"] == driver)
        .collect()
}

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
        assert!(fsdev.ends_with(",fmode=0644,dmode=0755"), "{fsdev}");
    }

    for mode in ["888", "1000", "+644", "rw"] {
        let error = try_line(&folder(&format!("fmode='{mode}'")), Style::Managed).unwrap_err();
        assert!(error.contains("expected permissions in octal"), "{error}");
    }
}

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
fn hyperv_panic_device_is_a_property_of_the_cpu() {
    let panic = "<panic model='hyperv'/>";
    let line_of = |before: &str| {
        let xml = guest(panic).replace("<devices>", &format!("{before}<devices>"));
        line(&xml, Style::Managed)
    };
    assert_eq!(values(&line_of(""), "-cpu"), ["qemu64,hv-crash"]);

    let features = "<features><hyperv><relaxed state='on'/></hyperv>\
                    <kvm><hidden state='on'/></kvm></features>";
    assert_eq!(
        values(&line_of(features), "-cpu"),
        ["qemu64,hv-relaxed=on,hv-crash,kvm=off"]
    );
}

#[test]
fn default_cpu_of_a_32_bit_guest_is_its_emulators() {
    for (emulator, cpu) in [
        ("<emulator>/usr/bin/qemu-system-i386</emulator>", "qemu32"),
        ("<emulator>/usr/bin/qemu-system-x86_64</emulator>", "qemu64"),
        ("", "qemu32"),
    ] {
        let xml = domain("<type arch='i686' machine='pc'>hvm</type>", emulator);
        assert_eq!(
            values(&line(&xml, Style::Managed), "-cpu"),
            [cpu],
            "{emulator}"
        );
    }
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

/// Returns the values of `-smbios` on the command line of a guest with the host's identity.
fn identity(capabilities: &Capabilities, style: Style) -> Result<Vec<String>, String> {
    let xml = domain(
        "<type arch='x86_64' machine='q35'>hvm</type><smbios mode='host'/>",
        "",
    );
    let domain = Domain::parse(&xml).unwrap().complete(capabilities).unwrap();
    domain.validate(capabilities).unwrap();
    let line = command_line(&domain, capabilities, style).map_err(|e| e.to_string())?;
    let words = line.render(&Placeholders);
    Ok(values(&words, "-smbios")
        .into_iter()
        .map(str::to_owned)
        .collect())
}

#[test]
fn identity_of_the_host_goes_to_the_guest() {
    let values = [
        ("bios_date", "01/02/2025"),
        ("sys_vendor", "Example, Inc."),
        ("product_serial", ""),
        ("product_uuid", "00000000-0000-4000-8000-000000000003"),
    ];
    let values = values.map(|(file, value)| (file.to_owned(), value.to_owned()));
    let host = Capabilities::builtin(Arch::X86_64).with_dmi(values.into());
    let expected = [
        "type=0,date=01/02/2025",
        "type=1,manufacturer=Example,, Inc.",
    ];
    for style in [Style::Managed, Style::Standalone] {
        assert_eq!(identity(&host, style).unwrap(), expected);
    }

    let unnamed = Capabilities::builtin(Arch::X86_64).with_dmi(BTreeMap::new());
    assert_eq!(identity(&unnamed, Style::Managed).unwrap(), [""; 0]);
}

#[test]
fn identity_of_an_unknown_host_is_a_placeholder() {
    let capabilities = Capabilities::builtin(Arch::X86_64);
    assert_eq!(
        identity(&capabilities, Style::Managed).unwrap(),
        [
            "type=0,vendor=@bios_vendor@,version=@bios_version@,date=@bios_date@",
            "type=1,manufacturer=@sys_vendor@,product=@product_name@,\
             version=@product_version@,serial=@product_serial@,sku=@product_sku@,\
             family=@product_family@",
        ]
    );
    let error = identity(&capabilities, Style::Standalone).unwrap_err();
    assert!(
        error.contains("not supported on a standalone command line"),
        "{error}"
    );
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
