//! Emulated devices: defaults, addresses and refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use passthru_domain::Domain;
use passthru_domain::device::{Address, Item};

use common::{check, guest};

#[track_caller]
fn refused(machine: &str, devices: &str, words: &str) {
    common::refused(&guest(machine, devices), words, "");
}

#[track_caller]
fn complete(machine: &str, devices: &str) -> Domain {
    common::accepted(&guest(machine, devices))
}

fn usb_port(domain: &Domain, item: Item) -> String {
    match &domain.devices.info(item).unwrap().address {
        Some(Address::Usb(usb)) => usb.port.clone().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pc_gets_mouse_keyboard_and_audio_and_q35_a_watchdog() {
    let pc = complete("pc", "").devices;
    assert_eq!(
        (pc.inputs.len(), pc.audios.len(), pc.watchdogs.len()),
        (2, 1, 0)
    );
    assert_eq!(complete("q35", "").devices.watchdogs.len(), 1);
    let virt = complete("virt", "").devices;
    assert_eq!((virt.inputs.len(), virt.audios.len()), (0, 1));
}

#[test]
fn screen_adds_a_graphics_card_and_primary_comes_first() {
    let seen = complete("pc", "<graphics type='vnc'/>").devices;
    assert_eq!(seen.videos.len(), 1);
    assert!(seen.videos[0].is_primary());
    let cards =
        "<video><model type='virtio'/></video><video><model type='qxl' primary='yes'/></video>";
    let two = complete("pc", cards).devices;
    assert_eq!(two.videos[0].model().unwrap().as_str(), "qxl");
    assert_eq!(
        two.pci_address(Item::Video(0)).unwrap().to_string(),
        "0000:00:02.0"
    );
}

#[test]
fn usb_devices_take_free_ports_and_get_a_hub_when_full() {
    let domain = complete(
        "pc",
        "<input type='tablet' bus='usb'/><input type='mouse' bus='usb'>\
         <address type='usb' bus='0' port='1'/></input>",
    );
    assert_eq!(usb_port(&domain, Item::Input(0)), "2");
    let many = complete("pc", &"<redirdev bus='usb' type='spicevmc'/>".repeat(4));
    assert_eq!(many.devices.hubs.len(), 1);
    let ports: Vec<_> = (0..4).map(|n| usb_port(&many, Item::Redirdev(n))).collect();
    assert_eq!(ports, ["2", "1.1", "1.2", "1.3"]);
}

#[test]
fn channels_fill_one_controller_and_then_the_next() {
    let channel = "<channel type='pty'><target type='virtio'/></channel>";
    let controller = "<controller type='virtio-serial' index='0' ports='3'/>";
    let domain = complete("pc", &format!("{controller}{}", channel.repeat(3)));
    let places: Vec<_> = domain
        .devices
        .channels
        .iter()
        .map(|c| match &c.info.address {
            Some(Address::VirtioSerial(at)) => (at.controller.unwrap(), at.port.unwrap()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(places, [(0, 1), (0, 2), (1, 1)]);
}

fn channel_path(path: &str) -> Option<String> {
    let channel = format!(
        "<channel type='unix'><source mode='bind' path='{path}'/>\
         <target type='virtio' name='agent'/></channel>"
    );
    complete("pc", &channel).devices.channels[0]
        .backend
        .path()
        .map(str::to_owned)
}

#[test]
fn chosen_channel_socket_is_dropped_and_given_one_stays() {
    assert_eq!(
        channel_path("/var/lib/libvirt/qemu/channel/target/domain-3-a/agent"),
        None
    );
    assert_eq!(channel_path("/srv/agent").as_deref(), Some("/srv/agent"));
}

#[test]
fn tristate_keeps_its_three_values() {
    for (attribute, expected) in [
        ("", None),
        (" packed='on'", Some(true)),
        (" packed='off'", Some(false)),
    ] {
        let rng = format!(
            "<rng model='virtio'><backend model='builtin'/><driver{attribute}/>\
            </rng>"
        );
        let domain = complete("q35", &rng);
        assert_eq!(domain.devices.rngs[0].driver.unwrap().packed, expected);
        let again = check(&domain.format()).unwrap();
        assert_eq!(
            again.devices.rngs[0].driver.unwrap_or_default().packed,
            expected
        );
    }
}

#[test]
fn impossible_character_devices_are_refused() {
    refused(
        "pc",
        "<serial type='unix'><source mode='connect'/></serial>",
        "needs its <source path=",
    );
    refused(
        "pc",
        "<serial type='tcp'><source mode='connect' host='a'/></serial>",
        "service=",
    );
    let again = "<reconnect enabled='yes' timeout='3'/>";
    refused(
        "pc",
        &format!("<serial type='tcp'><source mode='bind' service='1'>{again}</source></serial>"),
        "mode='connect' only",
    );
    refused(
        "pc",
        "<serial type='tcp'><source mode='connect' host='a' service='1'>\
         <reconnect enabled='yes' timeout='0'/></source></serial>",
        "above zero",
    );
    refused(
        "pc",
        "<serial type='tcp'><source host='a' service='1'/><protocol type='telnets'/></serial>",
        "'telnets'",
    );
    refused(
        "pc",
        "<console type='pty'><target type='sclp'/></console>",
        "not for the machine 'pc'",
    );
    refused(
        "pc",
        "<channel type='pty'><target type='guestfwd'/></channel>",
        "address=",
    );
    let channel = "<channel type='pty'><target type='virtio'/>\
        <address type='virtio-serial' port='2'/></channel>";
    refused("pc", &channel.repeat(2), "used twice");
}

#[test]
fn impossible_small_devices_are_refused() {
    refused(
        "pc",
        "<tpm><backend type='emulator' version='1.2'/></tpm>",
        "'1.2'",
    );
    refused(
        "virt",
        "<tpm model='tpm-crb'><backend type='emulator'/></tpm>",
        "tpm-crb",
    );
    refused(
        "pc",
        "<shmem name='a'><size unit='K'>12</size></shmem>",
        "power of two",
    );
    refused("pc", "<shmem name='a'><msi/></shmem>", "<msi>");
    refused("pc", "<watchdog model='itco'/>", "not for the machine 'pc'");
    refused(
        "q35",
        "<watchdog model='i6300esb' action='pause'/><watchdog model='itco' action='reset'/>",
        "all watchdogs must have the same action",
    );
    refused(
        "pc",
        "<filesystem type='bind'><source dir='/a'/><target dir='a'/></filesystem>",
        "for containers",
    );
    refused(
        "pc",
        "<video><model type='none'/></video><video/>",
        "must be the only one",
    );
    refused(
        "pc",
        "<sound model='sb16'><audio id='9'/></sound>",
        "id='9'",
    );
    refused(
        "pc",
        "<vsock><cid auto='no'/></vsock>",
        "needs an 'address'",
    );
    refused(
        "pc",
        "<vsock><cid auto='no' address='2'/></vsock>",
        "below 3",
    );
    refused(
        "virt",
        "<input type='tablet' bus='usb'/>",
        "no USB port is free",
    );
}

fn virtio_card(kind: &str, rest: &str) -> String {
    format!("<interface type='{kind}'><model type='virtio'/>{rest}</interface>")
}

#[test]
fn impossible_interfaces_are_refused() {
    refused(
        "pc",
        &virtio_card("user", "<driver rx_queue_size='300'/>"),
        "power of two",
    );
    refused(
        "pc",
        &virtio_card("user", "<driver rx_queue_size='128'/>"),
        "256, 512 or 1024",
    );
    refused(
        "pc",
        &virtio_card("user", "<driver queues='4000000000'/>"),
        "the number of queues must be from 1 to 256",
    );
    refused(
        "pc",
        &virtio_card("user", "<portForward proto='tcp'/>"),
        "passt",
    );
    refused(
        "pc",
        &virtio_card("user", "<filterref filter='a'/>"),
        "<filterref>",
    );
    refused(
        "pc",
        &virtio_card(
            "vhostuser",
            "<source type='unix' path='/a' mode='client'/><backend tap='/dev/t'/>",
        ),
        "tap",
    );
    refused("pc", &virtio_card("bridge", ""), "bridge='…'");
    refused("pc", &virtio_card("null", ""), "another hypervisor");
    refused(
        "pc",
        "<interface type='user'><model type='e1000'/><mtu size='9000'/></interface>",
        "<mtu>",
    );
    refused(
        "pc",
        "<interface type='user'><model type='a b'/></interface>",
        "'a b'",
    );
}

#[test]
fn vhost_user_device_without_shared_memory_is_refused() {
    let virtiofs = "<filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/>\
        <target dir='a'/></filesystem>";
    let card = "<interface type='vhostuser'><source type='unix' path='/a' mode='client'/>\
        <model type='virtio'/></interface>";
    let disk = "<disk type='vhostuser'><source type='unix' path='/a'/>\
        <target dev='vda' bus='virtio'/></disk>";
    for device in [virtiofs, card, disk] {
        refused(
            "q35",
            device,
            "needs guest memory that is shared with another process",
        );
        let shared =
            "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking><os>";
        let domain = guest("q35", device).replacen("<os>", shared, 1);
        check(&domain).unwrap_or_else(|e| panic!("{device}: {e}"));
    }
}

fn disk(kind: &str, bus: &str, rest: &str) -> String {
    format!("<disk type='{kind}'{rest}<target dev='sda' bus='{bus}'/></disk>")
}

fn network_disk(source: &str) -> String {
    disk("network", "virtio", &format!("><source {source}"))
}

#[test]
fn impossible_disks_are_refused() {
    refused(
        "q35",
        &network_disk("protocol='sheepdog' name='a'><host name='b'/></source>"),
        "'sheepdog'",
    );
    refused(
        "q35",
        &network_disk("protocol='rbd' name='a'/>"),
        "POOL/IMAGE",
    );
    refused(
        "q35",
        &network_disk("protocol='iscsi' name='a'/>"),
        "<host name=",
    );
    let secret = "<auth username='u'><secret type='ceph' usage='x'/></auth>";
    refused(
        "q35",
        &network_disk(&format!(
            "protocol='iscsi' name='a'><host name='b'/>{secret}</source>"
        )),
        "'ceph'",
    );
    refused(
        "q35",
        &disk("volume", "virtio", "><source pool='p' volume='v'/>"),
        "volumes of libvirt's storage pools are not supported",
    );
    refused(
        "q35",
        &disk("file", "sata", " device='lun'><source file='/a'/>"),
        "cannot be on the bus 'sata'",
    );
    refused(
        "q35",
        &disk("file", "virtio", "><source dev='/a'/>"),
        "needs a <source file='…'/>",
    );
    refused(
        "q35",
        &disk("file", "virtio", "><source file='/a'/><vendor>V</vendor>"),
        "can have a vendor",
    );
    refused(
        "q35",
        &disk("file", "virtio", "><source file='/a'/><transient/>"),
        "<transient/>",
    );
    refused(
        "q35",
        &disk(
            "file",
            "virtio",
            "><source file='/a'/><driver iothread='3'/>",
        ),
        "no I/O thread 3",
    );
    refused(
        "q35",
        &disk(
            "file",
            "sata",
            "><source file='/a'/><driver queue_size='8'/>",
        ),
        "'queue_size'",
    );
    refused(
        "q35",
        &disk("file", "virtio", "><source file='/a'/><wwn>12</wwn>"),
        "16 hexadecimal digits",
    );
    refused(
        "q35",
        &disk(
            "nvme",
            "virtio",
            "><source type='pci' namespace='0'><address bus='1'/></source>",
        ),
        "namespace",
    );
}

#[test]
fn device_settings_without_effect_are_noted() {
    let interface = "<interface type='ethernet'><model type='virtio'/><bandwidth>\
        <inbound average='9'/></bandwidth></interface>";
    let disk = "<disk type='file'><source file='/a'/><target dev='vda'/><iotune>\
        <total_iops_sec>9</total_iops_sec></iotune></disk>";
    let notes = complete("q35", &format!("{interface}{disk}")).notes();
    for setting in ["bandwidth of <interface>", "iotune of <disk>"] {
        assert!(
            notes.iter().any(|note| note.message.contains(setting)),
            "{setting}: {notes:?}"
        );
    }
}

#[test]
fn assigned_card_is_noted_to_keep_its_mac_address() {
    let interface = "<interface type='hostdev'><mac address='52:54:00:00:00:01'/>\
        <source><address type='pci' domain='0' bus='1' slot='2' function='0'/></source>\
        </interface>";
    let notes = complete("q35", interface).notes();
    assert!(
        notes
            .iter()
            .any(|note| note.message.contains("not set on 0000:01:02.0")),
        "{notes:?}"
    );
    assert!(
        !complete("q35", "<interface type='user'/>")
            .notes()
            .iter()
            .any(|note| note.message.contains("MAC"))
    );
}
