//! Any mix of devices gets places that are valid and stay.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Emulator, guest};
use passthru_domain::Domain;
use proptest::prelude::*;
use std::collections::HashSet;

fn device() -> impl Strategy<Value = String> {
    prop_oneof![
        prop_oneof!["virtio", "e1000", "e1000e", "igb", "rtl8139"]
            .prop_map(|model| format!("<interface type='user'><model type='{model}'/></interface>")),
        (0u8..8).prop_map(|slot| {
            format!(
                "<interface type='user'><model type='virtio'/><address type='pci' slot='{}'/></interface>",
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

/// A list of devices, each host device once and each slot given by hand once.
fn devices() -> impl Strategy<Value = String> {
    (proptest::collection::vec(device(), 0..40), 0u8..6).prop_map(|(mut devices, hostdevs)| {
        let mut seen = HashSet::new();
        devices.retain(|d| !d.contains("slot=") || seen.insert(d.clone()));
        devices.extend((1..=hostdevs).map(|bus| {
            format!("<hostdev mode='subsystem' type='pci'><source><address bus='{bus}'/></source></hostdev>")
        }));
        devices.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_device_gets_a_place_of_its_own_and_keeps_it(
        machine in prop_oneof!["pc", "q35", "virt"],
        devices in devices(),
    ) {
        let domain = Domain::parse(&guest(&machine, &devices)).unwrap().complete(&Emulator).unwrap();
        prop_assert_eq!(domain.validate(&Emulator), Ok(()));
        let places = domain.devices.items().into_iter().filter_map(|item| domain.devices.pci_address(item));
        let places: Vec<_> = places.collect();
        prop_assert_eq!(places.iter().collect::<HashSet<_>>().len(), places.len());
        let again = Domain::parse(&domain.format()).unwrap().complete(&Emulator).unwrap();
        prop_assert_eq!(again, domain);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[<>/='\"a-z &;\\n]{0,200}") {
        let _ = Domain::parse(&text);
        let _ = Domain::parse(&guest("q35", &text));
    }
}
