//! Network cards: the bus that each model is on, and its address.

use passthru_qemu::Style;

use crate::helpers::{guest, line, objects};

/// Returns a card of this model, on a network of QEMU's own.
fn card(model: &str) -> String {
    format!("<interface type='user'><model type='{model}'/></interface>")
}

#[test]
fn vmxnet3_card_goes_behind_a_conventional_bridge() {
    let line = line(&guest(&card("vmxnet3")), Style::Managed);
    let bridge = &objects(&line, "-device", "pcie-pci-bridge")[0];
    let card = &objects(&line, "-device", "vmxnet3")[0];
    assert_eq!(card["bus"], bridge["id"]);
}

#[test]
fn card_of_an_unknown_model_has_a_root_port() {
    for model in ["virtio-net-pci", "ne2k_pci"] {
        let line = line(&guest(&card(model)), Style::Managed);
        assert!(objects(&line, "-device", "pcie-pci-bridge").is_empty());
        let card = &objects(&line, "-device", model)[0];
        let ports = objects(&line, "-device", "pcie-root-port");
        assert!(ports.iter().any(|port| port["id"] == card["bus"]), "{card}");
    }
}

#[test]
fn usb_card_is_on_a_usb_port() {
    let line = line(&guest(&card("usb-net")), Style::Managed);
    let card = &objects(&line, "-device", "usb-net")[0];
    assert_eq!(
        (&card["bus"], &card["port"]),
        (&"usb.0".into(), &"1".into())
    );
}

#[test]
fn hardware_address_of_zeros_is_replaced() {
    let given = "<interface type='user'><mac address='00:00:00:00:00:00'/></interface>";
    let line = line(&guest(given), Style::Managed);
    let card = &objects(&line, "-device", "rtl8139")[0];
    let address = card["mac"].as_str().unwrap_or_default();
    assert!(address.starts_with("52:54:00:"), "{address}");
}
