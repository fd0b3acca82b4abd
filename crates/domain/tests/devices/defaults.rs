//! Devices and addresses that a guest gets by default.

use passthru_domain::Domain;
use passthru_domain::device::{Address, Item};

use crate::common::check;
use crate::helpers::complete;

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

    let redirdevs = "<redirdev bus='usb' type='spicevmc'/>".repeat(4);
    let many = complete("pc", &format!("<graphics type='spice'/>{redirdevs}"));
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
