//! What PCI controllers can be told, by their models.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::guest;
use passthru_domain::Domain;
use passthru_domain::device::ControllerType;

#[track_caller]
fn refused(machine: &str, devices: &str, words: &str) {
    common::refused(&guest(machine, devices), words, "");
}

#[track_caller]
fn accepted(machine: &str, devices: &str) -> Domain {
    common::accepted(&guest(machine, devices))
}

fn controller(model: &str, inner: &str) -> String {
    format!("<controller type='pci' index='1' model='{model}'>{inner}</controller>")
}

#[test]
fn targets_of_another_model() {
    for (machine, model, target, option) in [
        ("q35", "pcie-root-port", "busNr='9'", "'busNr'"),
        ("q35", "pcie-root-port", "chassisNr='9'", "'chassisNr'"),
        ("q35", "pcie-expander-bus", "port='1'", "'port'"),
        ("pc", "pci-bridge", "chassis='1'", "'chassis'"),
        ("pc", "pci-bridge", "hotplug='off'", "'hotplug'"),
        ("q35", "pcie-root-port", "index='1'", "'index'"),
    ] {
        let devices = controller(model, &format!("<target {target}/>"));
        refused(machine, &devices, &format!("has no {option}"));
    }
    refused(
        "q35",
        &controller("pcie-root-port", "<target><node>0</node></target>"),
        "has no 'node'",
    );
    let plain = "<model name='ioh3420'/><target memReserve='1024'/>";
    refused(
        "q35",
        &controller("pcie-root-port", plain),
        "a ioh3420 has no 'memReserve'",
    );
    accepted(
        "q35",
        &controller(
            "pcie-root-port",
            "<target memReserve='1024' hotplug='off' port='3'/>",
        ),
    );
}

#[test]
fn names_of_devices_that_a_model_is_not() {
    for (machine, model, name) in [
        ("q35", "pcie-root-port", "pci-bridge"),
        ("pc", "pci-bridge", "pxb"),
        ("q35", "pcie-expander-bus", "pxb"),
    ] {
        let devices = controller(model, &format!("<model name='{name}'/>"));
        refused(
            machine,
            &devices,
            &format!("<model name='{name}'> is not a device for a controller of model '{model}'"),
        );
    }
}

#[test]
fn bus_numbers_of_expanders_count_down_by_two() {
    let expander = "<controller type='pci' model='pcie-expander-bus'/>";
    let said =
        "<controller type='pci' model='pcie-expander-bus'><target busNr='200'/></controller>";
    let domain = accepted("q35", &format!("{expander}{said}{expander}"));
    let numbers: Vec<_> = domain
        .devices
        .controllers_of(ControllerType::Pci)
        .filter_map(|c| c.target.as_ref()?.bus_nr)
        .collect();
    assert_eq!(numbers, [198, 200, 196]);
    for wrong in ["0", "255"] {
        let target = format!("<target busNr='{wrong}'/>");
        refused(
            "q35",
            &controller("pcie-expander-bus", &target),
            "is out of range: expected 1 to 254",
        );
    }
}

#[test]
fn a_bridge_on_pci_express_needs_one_before_it() {
    refused(
        "q35",
        &controller("pci-bridge", ""),
        "its index must be larger than its bus",
    );
    let behind = "<controller type='pci' index='1' model='dmi-to-pci-bridge'/>\
                  <controller type='pci' index='2' model='pci-bridge'/>";
    accepted("q35", behind);
}

#[test]
fn a_hundred_devices_get_ports_of_their_own() {
    let card = "<interface type='user'><model type='virtio'/></interface>";
    let domain = accepted("q35", &card.repeat(100));
    let ports = domain.devices.controllers_of(ControllerType::Pci).count();
    // The root, a port for each card, the USB controller and the balloon, and one that stays free.
    assert_eq!(ports, 1 + 100 + 2 + 1);
}

#[test]
fn room_above_4_gib_is_for_machines_that_keep_some() {
    let root = |model: &str, gib: u32| {
        format!(
            "<controller type='pci' index='0' model='{model}'><pcihole64 unit='GiB'>{gib}</pcihole64></controller>"
        )
    };
    accepted("pc", &root("pci-root", 3));
    accepted("virt", &root("pcie-root", 1024));
    refused("virt", &root("pcie-root", 1000), "must be a power of two");
    refused(
        "s390-ccw-virtio",
        &root("pci-root", 64),
        "does not support <pcihole64>",
    );
}

#[test]
fn expanders_of_the_other_kind_of_bus() {
    refused(
        "q35",
        &controller("pci-expander-bus", ""),
        "pci-expander-bus",
    );
    refused(
        "pc",
        &controller("pcie-expander-bus", ""),
        "pcie-expander-bus",
    );
    let at = |model| controller(model, "<address type='pci' bus='0' slot='4'/>");
    refused(
        "q35",
        &at("pci-expander-bus"),
        "is for machines with a conventional PCI bus, which 'q35' does not have",
    );
    refused(
        "virt",
        &at("pci-expander-bus"),
        "is for machines with a conventional PCI bus, which 'virt' does not have",
    );
}

#[test]
fn a_thousand_devices_fit_on_bridges_of_bridges() {
    let card = "<interface type='user'><model type='e1000'/></interface>";
    for machine in ["pc", "q35"] {
        let domain = accepted(
            machine,
            &format!("{}<memballoon model='none'/>", card.repeat(1000)),
        );
        let bridges = domain.devices.controllers_of(ControllerType::Pci).count();
        assert!(
            (33..=40).contains(&bridges),
            "{machine}: {bridges} PCI controllers"
        );
    }
}

#[test]
fn bus_numbers_of_expanders_leave_room_for_the_buses_below() {
    let expander = |index: u32, number: u32| {
        format!(
            "<controller type='pci' index='{index}' model='pcie-expander-bus'><target busNr='{number}'/></controller>"
        )
    };
    let two = format!("{}{}", expander(1, 100), expander(2, 100));
    refused("q35", &two, "two expanders have the busNr 100");
    let with = |first: u32, second: u32| {
        let port = |index: u32, bus: u32| {
            format!(
                "<controller type='pci' index='{index}' model='pcie-root-port'><address type='pci' bus='{bus}' slot='{index}'/></controller>"
            )
        };
        let ports: String = [(3, 1), (4, 1), (5, 2)]
            .map(|(index, bus)| port(index, bus))
            .concat();
        let domain = accepted(
            "q35",
            &format!("{}{}{ports}", expander(1, first), expander(2, second)),
        );
        domain
            .notes()
            .into_iter()
            .map(|note| note.message)
            .collect::<Vec<_>>()
    };
    assert_eq!(with(64, 128), Vec::<String>::new());
    assert!(
        with(126, 128)[0].contains("busNr 126 has 2 bus numbers, for its own bus and 2 below it")
    );
    assert!(with(254, 128)[0].contains("busNr 254 has 2 bus numbers"));
}

#[test]
fn a_bridge_whose_number_is_zero() {
    let devices = controller("pci-bridge", "<target chassisNr='0'/>");
    refused(
        "pc",
        &devices,
        "chassisNr='0' of the PCI controller 1 is out of range",
    );
}

#[test]
fn a_chassis_is_that_of_one_port() {
    let port = |index, chassis: &str| {
        format!(
            "<controller type='pci' index='{index}' model='pcie-root-port'>{chassis}</controller>"
        )
    };
    let said = |chassis| format!("<target chassis='{chassis}'/>");
    accepted("q35", &(port(1, &said(7)) + &port(2, &said(8))));
    refused(
        "q35",
        &(port(1, &said(7)) + &port(2, &said(7))),
        "chassis='7' is used twice: by the PCI controllers 1 and 2",
    );
    refused(
        "q35",
        &(port(1, &said(2)) + &port(2, "")),
        "chassis='2' is used twice: by the PCI controllers 1 and 2",
    );
}

#[test]
fn a_slot_of_a_single_function_has_no_other() {
    let port = |index, function, flag: &str| {
        format!(
            "<controller type='pci' index='{index}' model='pcie-root-port'>\
             <address type='pci' bus='0' slot='2' function='{function}' {flag}/></controller>"
        )
    };
    accepted("q35", &(port(1, 0, "multifunction='on'") + &port(2, 1, "")));
    accepted("q35", &port(1, 0, "multifunction='off'"));
    accepted("q35", &port(1, 1, ""));
    let both = port(1, 0, "multifunction='off'") + &port(2, 1, "");
    refused("q35", &both, "in that slot has multifunction='off'");
}
