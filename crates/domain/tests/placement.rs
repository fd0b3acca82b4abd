//! Any mix of devices gets valid PCI addresses, which stay.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::HashSet;

use passthru_domain::Domain;
use proptest::prelude::*;

use common::{Emulator, guest};

fn card(model: &str) -> String {
    format!("<interface type='user'><model type='{model}'/></interface>")
}

fn device() -> impl Strategy<Value = String> {
    prop_oneof![
        prop_oneof!["virtio", "e1000", "e1000e", "igb", "rtl8139"].prop_map(|model| card(&model)),
        (0u8..8).prop_map(|slot| {
            format!(
                "<interface type='user'><model type='virtio'/><address type='pci' slot='{}'/>\
                 </interface>",
                slot + 4
            )
        }),
        Just("<rng model='virtio'><backend model='builtin'/></rng>".to_owned()),
        Just("<serial type='pty'><target type='pci-serial'/></serial>".to_owned()),
        Just("<controller type='scsi' model='virtio-scsi'/>".to_owned()),
        Just("<controller type='usb' model='nec-xhci'/>".to_owned()),
        Just(
            "<controller type='usb' model='ich9-ehci1'/><controller type='usb' model='ich9-uhci1'/>"
                .to_owned()
        ),
        Just("<controller type='virtio-serial'/>".to_owned()),
    ]
}

/// Generates devices, each host device once and each given slot once.
fn devices() -> impl Strategy<Value = String> {
    (proptest::collection::vec(device(), 0..40), 0u8..6).prop_map(|(mut devices, hostdevs)| {
        let mut seen = HashSet::new();
        devices.retain(|d| !d.contains("slot=") || seen.insert(d.clone()));
        devices.extend((1..=hostdevs).map(|bus| {
            format!(
                "<hostdev mode='subsystem' type='pci'><source><address bus='{bus}'/></source>\
                 </hostdev>"
            )
        }));
        devices.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_device_gets_a_unique_address_and_keeps_it(
        machine in prop_oneof!["pc", "q35", "virt"],
        devices in devices(),
    ) {
        let parsed = Domain::parse(&guest(&machine, &devices)).unwrap();
        let domain = parsed.complete(&Emulator).unwrap();
        prop_assert_eq!(domain.validate(&Emulator), Ok(()));
        let mut used = HashSet::new();
        for item in domain.devices.items() {
            if let Some(address) = domain.devices.pci_address(item) {
                prop_assert!(used.insert(address), "{address} is used twice");
            }
        }
        let again = Domain::parse(&domain.format()).unwrap().complete(&Emulator).unwrap();
        prop_assert_eq!(again, domain);
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(text in "[<>/='\"a-z &;\\n]{0,200}") {
        let _ = Domain::parse(&text);
        let _ = Domain::parse(&guest("q35", &text));
    }
}
