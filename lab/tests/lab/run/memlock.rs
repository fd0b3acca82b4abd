//! The limit on locked memory covers each kind of device with memory of its own, which an assigned
//! device can reach.

use std::fs;
use std::process::Command;

use passthru_lab::devices::{NVME, NVME_SHA256};
use passthru_lab::{Finished, host, run, run_manager};

use super::support::{Domain, PATIENCE, guest_sum};

fn with_device(name: &'static str, device: &str) -> Domain {
    Domain::new(name)
        .hostdev(NVME, "<driver iommufd='yes'/>", "")
        .with(device)
}

fn reads_its_disk(domain: &Domain) {
    let finished = domain.run(&[]).expect_success();
    assert_eq!(guest_sum(&finished), NVME_SHA256);
}

/// Returns whether this QEMU has a device. Some are in modules that may not be installed.
fn qemu_has(device: &str) -> bool {
    let mut command = Command::new("qemu-system-x86_64");
    run(command.args(["-device", "help"]))
        .stdout
        .contains(&format!("name \"{device}\""))
}

#[test]
fn shared_memory_is_counted_in_the_limit() {
    let _ = host();
    let shmem =
        "<shmem name='looking'><model type='ivshmem-plain'/><size unit='M'>256</size></shmem>";
    // QEMU opens the file by itself.
    let file = fs::File::create("/dev/shm/looking").unwrap();
    file.set_len(256 << 20).unwrap();
    let everybodys = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions("/dev/shm/looking", everybodys).unwrap();
    let finished = with_device("shmem", shmem).run(&[]);
    fs::remove_file("/dev/shm/looking").unwrap();

    assert_eq!(guest_sum(&finished.expect_success()), NVME_SHA256);
}

#[test]
fn graphics_cards_are_counted_in_the_limit() {
    let _ = host();
    let cards = [
        ("VGA", "type='vga' vram='262144'"),
        ("cirrus-vga", "type='cirrus'"),
        ("vmware-svga", "type='vmvga' vram='131072'"),
        ("bochs-display", "type='bochs' vram='131072'"),
        ("ramfb", "type='ramfb'"),
        ("virtio-vga", "type='virtio'"),
        (
            "qxl-vga",
            "type='qxl' ram='131072' vram='131072' vgamem='65536'",
        ),
    ];
    let there: Vec<_> = cards
        .iter()
        .filter(|(device, _)| qemu_has(device))
        .collect();
    assert!(there.len() >= 4, "{there:?}");
    for (_, model) in there {
        reads_its_disk(&with_device(
            "video",
            &format!("<video><model {model}/></video>"),
        ));
    }
}

#[test]
fn memory_devices_are_counted_in_the_limit() {
    let _ = host();
    for name in ["/tmp/nvdimm", "/tmp/pmem"] {
        let file = fs::File::create(name).unwrap();
        file.set_len(130 << 20).unwrap();
        fs::set_permissions(name, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    }

    let dimm =
        "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>";
    let nvdimm = "<memory model='nvdimm' access='shared'><source><path>/tmp/nvdimm</path></source>\
        <target>\
        <size unit='MiB'>130</size><node>0</node><label><size unit='MiB'>2</size></label></target>\
        </memory>";
    let pmem = "<memory model='virtio-pmem' access='shared'><source><path>/tmp/pmem</path>\
        </source><target>\
        <size unit='MiB'>130</size></target></memory>";
    let mem = "<memory model='virtio-mem'><target><size unit='MiB'>128</size><node>0</node>\
        <block unit='MiB'>2</block><requested unit='MiB'>64</requested></target></memory>";
    for (device, mib) in [(dimm, 128), (nvdimm, 130), (pmem, 130), (mem, 128)] {
        let domain =
            with_device("modules", device).top("<maxMemory unit='MiB' slots='4'>1024</maxMemory>");
        let cell = "<cpu mode='host-passthrough'><numa>\
                    <cell id='0' cpus='0' memory='256' unit='MiB'/></numa></cpu>";
        let xml = domain.xml().replace("<cpu mode='host-passthrough'/>", cell);
        // <memory> counts the modules too.
        let total = 256 + mib;
        let xml = xml.replace(
            "<memory unit='MiB'>256<",
            &format!("<memory unit='MiB'>{total}<"),
        );
        fs::write("/tmp/modules.xml", xml).unwrap();
        let mut command = Command::new("passthru");
        let finished = run_manager(PATIENCE, command.args(["run", "/tmp/modules.xml"]));
        assert_eq!(guest_sum(&finished.expect_success()), NVME_SHA256);
    }

    for name in ["/tmp/nvdimm", "/tmp/pmem"] {
        fs::remove_file(name).unwrap();
    }
}

fn run_with_memtune(xml: &str, memtune: &str) -> Finished {
    let xml = xml.replace("<os>", &format!("{memtune}<os>"));
    fs::write("/tmp/uncounted.xml", xml).unwrap();
    let mut command = Command::new("passthru");
    run_manager(PATIENCE, command.args(["run", "/tmp/uncounted.xml"]))
}

#[test]
fn refused_mapping_names_a_limit_that_works() {
    let _ = host();
    let arguments = "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\
        <qemu:arg value='-object'/><qemu:arg value='memory-backend-ram,id=big,size=256M,share=on'/>\
        <qemu:arg value='-device'/><qemu:arg value='ivshmem-plain,memdev=big,addr=0x1e'/>\
        </qemu:commandline>";
    let xml = with_device("uncounted", "").xml();
    let xml = xml.replace("</domain>", &format!("{arguments}</domain>"));
    let refused = run_with_memtune(&xml, "").expect_failure();
    let words = refused
        .stderr
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");

    assert!(
        words.contains("(RLIMIT_MEMLOCK): 256 MiB guest memory,"),
        "{refused}"
    );

    let from = words
        .find("<memtune>")
        .unwrap_or_else(|| panic!("{refused}"));
    let to = words.find("</memtune>").unwrap() + "</memtune>".len();
    let finished = run_with_memtune(&xml, &words[from..to]).expect_success();
    assert_eq!(guest_sum(&finished), NVME_SHA256);
}

#[test]
fn guest_without_devices_needs_no_cap_sys_resource() {
    let domain = Domain::new("plain").script("echo ready");
    let line = "ulimit -l 64; exec setpriv --bounding-set=-sys_resource passthru run \"$XML\"";
    let finished = domain.run_by_shell(line).expect_success();
    assert!(finished.stdout.contains("ready"), "{finished}");
}
