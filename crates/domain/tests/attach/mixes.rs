//! Any mix of devices is plugged in as a whole or not at all, and leaves no trace.

use std::collections::HashSet;

use passthru_domain::Errors;
use passthru_domain::device::{Info, Item};
use proptest::prelude::*;

use crate::common::Emulator;
use crate::helpers::{hostdev, plug, with_ports};

fn device() -> impl Strategy<Value = String> {
    prop_oneof![
        (1u8..4, 0u8..8).prop_map(|(bus, function)| hostdev(bus, function, "")),
        Just("<interface type='user'><model type='virtio'/></interface>".to_owned()),
        Just("<interface type='user'><model type='e1000'/></interface>".to_owned()),
        "vd[a-f]".prop_map(|dev| {
            format!(
                "<disk type='file'><source file='/{dev}'/><target dev='{dev}' bus='virtio'/>\
                 </disk>"
            )
        }),
    ]
}

/// Generates devices, each once.
fn devices() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(device(), 1..8).prop_map(|mut devices| {
        let mut seen = HashSet::new();
        devices.retain(|device| device.starts_with("<interface") || seen.insert(device.clone()));
        devices
    })
}

/// Returns whether the errors are about a lack of ports, and there can be one.
fn are_too_many(errors: &Errors, devices: usize, ports: u32) -> bool {
    let mut messages = errors.iter().map(|error| error.message.as_str());
    devices > ports as usize
        && messages
            .all(|text| text.contains("ports are needed") || text.contains("no port is free"))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn mix_of_devices_comes_and_goes_as_a_whole(devices in devices(), ports in 0u32..8) {
        let before = with_ports(ports);
        let xml = format!("<devices>{}</devices>", devices.concat());
        let plugged = match plug(&before, &xml) {
            Ok(plugged) => plugged,
            Err(errors) => {
                prop_assert!(are_too_many(&errors, devices.len(), ports), "{}", errors);
                return Ok(());
            }
        };
        prop_assert_eq!(plugged.domain.validate(&Emulator), Ok(()));
        prop_assert_eq!(plugged.items.len(), devices.len());
        prop_assert_eq!(&plugged.domain.devices.controllers, &before.devices.controllers);

        let all = &plugged.domain.devices;
        let mut used = HashSet::new();
        for item in all.items() {
            if let Some(at) = all.pci_address(item) {
                prop_assert!(used.insert(at), "{} is used twice", at);
            }
        }
        for item in &plugged.items {
            let at = all.pci_address(*item).unwrap();
            prop_assert!((1..=ports).contains(&u32::from(at.bus)), "{}", at);
        }

        let mut domain = plugged.domain.clone();
        while let Some(alias) = first_new(&domain) {
            domain = domain.unplug(&alias, &Emulator).unwrap().domain;
        }
        prop_assert_eq!(domain, before);
    }

    #[test]
    fn any_text_is_refused_within_itself_or_plugged(text in "[<>/='\"a-z &;\\n]{0,200}") {
        for text in [
            text.clone(),
            format!("<disk>{text}</disk>"),
            format!("<devices><hostdev {text}/></devices>"),
        ] {
            let Err(errors) = plug(&with_ports(1), &text) else {
                continue;
            };
            for error in errors.iter() {
                let span = error.span.clone().unwrap_or_default();
                prop_assert!(text.get(span).is_some(), "{}: {:?}", error, error.span);
            }
        }
    }
}

/// Returns the alias of a disk, interface or host device of the domain.
fn first_new(domain: &passthru_domain::Domain) -> Option<String> {
    let kinds = [Item::Disk(0), Item::Interface(0), Item::Hostdev(0)];
    let mut infos = kinds
        .into_iter()
        .filter_map(|item| domain.devices.info(item));
    infos.next().map(|info: &Info| info.id().to_owned())
}
