//! Devices that cannot work.

use crate::common;
use crate::common::{accepted, check, guest};
use crate::helpers::refused;

#[test]
fn panic_device_of_another_machine_is_refused() {
    for (machine, model) in [
        ("virt", "hyperv"),
        ("virt", "isa"),
        ("microvm", "pvpanic"),
        ("q35", "s390"),
        ("q35", "pseries"),
    ] {
        let words = format!("a panic device of model '{model}' is not for machine '{machine}'");
        refused(machine, &format!("<panic model='{model}'/>"), &words);
    }

    let two = "<panic model='hyperv'/><panic model='hyperv'/>";
    refused("q35", two, "two panic devices of the model 'hyperv'");
    let placed = "<panic model='hyperv'><address type='isa' iobase='0x505'/></panic>";
    refused("q35", placed, "'hyperv' has no address");
}

#[test]
fn identity_of_a_lun_is_refused() {
    for part in [
        "<serial>1</serial>",
        "<wwn>5000c50015ea71ad</wwn>",
        "<vendor>V</vendor>",
    ] {
        let disk = format!(
            "<disk type='block' device='lun'><source dev='/dev/a'/>\
             <target dev='sda' bus='scsi'/>{part}</disk>"
        );
        refused("q35", &disk, "the guest sees the host's disk");
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
    let tpm = "<tpm><backend type='emulator'/></tpm>";
    refused("q35", &tpm.repeat(2), "only one TPM");
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
    let itco = "<watchdog model='itco' action='reset'/>";
    refused("q35", &itco.repeat(2), "two watchdogs of the model 'itco'");
    let card = "<watchdog model='i6300esb' action='reset'/>";
    accepted(&guest("q35", &format!("{}{itco}", card.repeat(2))));
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
        &disk(
            "block",
            "scsi",
            " device='lun' sgio='unfiltered'><source dev='/dev/a'/>",
        ),
        "sgio='unfiltered' is no longer supported",
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
fn parts_of_spice_without_a_spice_screen_are_refused() {
    let channel = "<channel type='spicevmc'><target type='virtio' name='a'/></channel>";
    let port = "<serial type='spiceport'><source channel='a'/></serial>";
    let redirdev = "<redirdev bus='usb' type='spicevmc'/>";
    let smartcard = "<smartcard mode='passthrough' type='spicevmc'/>";
    for device in [channel, port, redirdev, smartcard] {
        let at = &device[..4];
        let without = guest("q35", &format!("<graphics type='vnc'/>{device}"));
        common::refused(&without, "not supported without SPICE graphics", at);
        accepted(&guest("q35", &format!("<graphics type='spice'/>{device}")));
    }

    // The first console is the serial port, and no error of its own.
    let errors = check(&guest("q35", port)).unwrap_err();

    assert_eq!(errors.iter().count(), 1, "{errors:?}");

    let audio = "<sound model='ich9'/><audio id='1' type='spice'/>";
    let without = guest("q35", &format!("{audio}<graphics type='vnc'/>"));
    common::refused(&without, "SPICE audio is not supported", "<audio");
    accepted(&guest("q35", &format!("{audio}<graphics type='spice'/>")));
}

#[test]
fn virtio_input_of_another_generation_is_refused() {
    for kind in ["keyboard", "mouse", "tablet"] {
        for model in ["virtio-transitional", "virtio-non-transitional"] {
            let input = format!("<input type='{kind}' bus='virtio' model='{model}'/>");
            refused("q35", &input, "there is no virtio <input>");
        }
    }

    accepted(&guest(
        "q35",
        "<input type='mouse' bus='virtio' model='virtio'/>",
    ));
}

#[test]
fn input_on_an_impossible_bus_is_refused() {
    for (input, words) in [
        ("type='tablet' bus='ps2'", "cannot be on the bus 'ps2'"),
        (
            "type='mouse' bus='usb' model='virtio'",
            "must be on the bus 'virtio'",
        ),
    ] {
        refused("q35", &format!("<input {input}/>"), words);
    }

    let source = "<source evdev='/dev/input/event1'/></input>";
    let on_usb = format!("<input type='passthrough' bus='usb'>{source}");
    refused("q35", &on_usb, "cannot be on the bus 'usb'");
    let mouse = format!("<input type='mouse' bus='virtio'>{source}");
    refused("q35", &mouse, "of type 'passthrough', not 'mouse'");
    let evdev = "<input type='evdev' bus='usb'><source dev='/dev/input/event1'/></input>";
    refused("q35", evdev, "cannot be on the bus 'usb'");
    accepted(&guest(
        "q35",
        &format!("<input type='passthrough'>{source}"),
    ));
    accepted(&guest("q35", &evdev.replace(" bus='usb'", "")));
}
