//! PCI controllers: the options of each model, bus numbers, ports and bridges.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use passthru_domain::Domain;
use passthru_domain::device::ControllerType;
use passthru_domain::device::controller::ControllerModel;

use common::guest;

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
fn target_options_of_another_model_are_refused() {
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
    for (machine, model, name) in [
        ("q35", "pcie-root-port", "ioh3420"),
        ("q35", "pcie-expander-bus", "pxb-pcie"),
        ("pc", "pci-bridge", "pci-bridge"),
    ] {
        let window = format!("<model name='{name}'/><target pref64Reserve='1024'/>");
        let words = format!("a {name} has no 'pref64Reserve'");
        refused(machine, &controller(model, &window), &words);
    }

    let above = "<target pref64Reserve='18014398509481984'/>";
    refused(
        "q35",
        &controller("pcie-root-port", above),
        "is above 18014398509481983: the unit is KiB",
    );
    accepted(
        "q35",
        &controller(
            "pcie-root-port",
            "<target memReserve='1024' pref64Reserve='18014398509481983' hotplug='off' port='3'/>",
        ),
    );
}

#[test]
fn device_name_of_another_model_is_refused() {
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
fn expander_bus_numbers_count_down_by_two() {
    let expander = "<controller type='pci' model='pcie-expander-bus'/>";
    let given =
        "<controller type='pci' model='pcie-expander-bus'><target busNr='200'/></controller>";
    let domain = accepted("q35", &format!("{expander}{given}{expander}"));
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
fn pci_bridge_on_pcie_needs_a_conventional_bus() {
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
fn hundred_devices_get_a_port_each() {
    let card = "<interface type='user'><model type='virtio'/></interface>";
    let domain = accepted("q35", &card.repeat(100));
    let ports = domain.devices.controllers_of(ControllerType::Pci).count();
    // The root, a port for each card, the USB controller and the balloon, and one that stays free.
    assert_eq!(ports, 1 + 100 + 2 + 1);
}

fn root_with_hole(model: &str, gib: u32) -> String {
    format!(
        "<controller type='pci' index='0' model='{model}'><pcihole64 unit='GiB'>{gib}</pcihole64>\
         </controller>"
    )
}

#[test]
fn pcihole64_on_other_machines_is_refused() {
    accepted("pc", &root_with_hole("pci-root", 3));
    accepted("virt", &root_with_hole("pcie-root", 1024));
    refused(
        "virt",
        &root_with_hole("pcie-root", 1000),
        "must be a power of two",
    );
    refused(
        "s390-ccw-virtio",
        &root_with_hole("pci-root", 64),
        "does not support <pcihole64>",
    );
}

fn at_slot_4(model: &str) -> String {
    controller(model, "<address type='pci' bus='0' slot='4'/>")
}

#[test]
fn expander_of_the_other_bus_type_is_refused() {
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
    refused(
        "q35",
        &at_slot_4("pci-expander-bus"),
        "is for machines with a conventional PCI bus, which 'q35' does not have",
    );
    refused(
        "virt",
        &at_slot_4("pci-expander-bus"),
        "is for machines with a conventional PCI bus, which 'virt' does not have",
    );
}

#[test]
fn thousand_devices_fit_on_nested_bridges() {
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

fn expander_notes(first: u32, second: u32) -> Vec<String> {
    let mut ports = String::new();
    for (index, bus) in [(3, 1), (4, 1), (5, 2)] {
        ports += &format!(
            "<controller type='pci' index='{index}' model='pcie-root-port'>\
             <address type='pci' bus='{bus}' slot='{index}'/></controller>"
        );
    }

    let domain = accepted(
        "q35",
        &format!("{}{}{ports}", expander(1, first), expander(2, second)),
    );
    domain
        .notes()
        .into_iter()
        .map(|note| note.message)
        .collect::<Vec<_>>()
}

fn expander(index: u32, number: u32) -> String {
    format!(
        "<controller type='pci' index='{index}' model='pcie-expander-bus'>\
         <target busNr='{number}'/></controller>"
    )
}

#[test]
fn expander_with_too_few_bus_numbers_is_noted() {
    let two = format!("{}{}", expander(1, 100), expander(2, 100));
    refused("q35", &two, "two expanders have the busNr 100");
    assert_eq!(expander_notes(64, 128), Vec::<String>::new());
    assert!(
        expander_notes(126, 128)[0]
            .contains("busNr 126 has 2 bus numbers, for its own bus and 2 below it")
    );
    assert!(expander_notes(254, 128)[0].contains("busNr 254 has 2 bus numbers"));
}

#[test]
fn bridge_with_chassis_number_zero_is_refused() {
    let devices = controller("pci-bridge", "<target chassisNr='0'/>");
    refused(
        "pc",
        &devices,
        "chassisNr='0' of the PCI controller 1 is out of range",
    );
}

fn port_with_chassis(index: u32, chassis: &str) -> String {
    format!("<controller type='pci' index='{index}' model='pcie-root-port'>{chassis}</controller>")
}

fn chassis(chassis: u32) -> String {
    format!("<target chassis='{chassis}'/>")
}

#[test]
fn duplicate_chassis_is_refused() {
    accepted(
        "q35",
        &(port_with_chassis(1, &chassis(7)) + &port_with_chassis(2, &chassis(8))),
    );
    refused(
        "q35",
        &(port_with_chassis(1, &chassis(7)) + &port_with_chassis(2, &chassis(7))),
        "chassis='7' is used twice: by the PCI controllers 1 and 2",
    );
    refused(
        "q35",
        &(port_with_chassis(1, &chassis(2)) + &port_with_chassis(2, "")),
        "chassis='2' is used twice: by the PCI controllers 1 and 2",
    );
}

fn port_at_function(index: u32, function: u32, flag: &str) -> String {
    format!(
        "<controller type='pci' index='{index}' model='pcie-root-port'>\
             <address type='pci' bus='0' slot='2' function='{function}' {flag}/></controller>"
    )
}

#[test]
fn second_function_without_multifunction_is_refused() {
    accepted(
        "q35",
        &(port_at_function(1, 0, "multifunction='on'") + &port_at_function(2, 1, "")),
    );
    accepted("q35", &port_at_function(1, 0, "multifunction='off'"));
    accepted("q35", &port_at_function(1, 1, ""));
    let both = port_at_function(1, 0, "multifunction='off'") + &port_at_function(2, 1, "");
    refused("q35", &both, "in that slot has multifunction='off'");
}

fn bus_of(domain: &Domain, index: u32) -> u8 {
    let controller = domain.devices.controller(ControllerType::Pci, index);
    let address = controller.unwrap().info.address.clone();
    address.unwrap().pci().unwrap().bus
}

#[test]
fn bridge_to_pci_goes_behind_an_added_port() {
    let domain = accepted("q35", "<controller type='pci' model='pcie-to-pci-bridge'/>");
    let port = domain.devices.controller(ControllerType::Pci, 2).unwrap();
    assert_eq!(port.model, Some(ControllerModel::PcieRootPort));
    assert_eq!((bus_of(&domain, 1), bus_of(&domain, 2)), (2, 0));

    refused(
        "pc",
        "<controller type='pci' model='pcie-to-pci-bridge'/>",
        "none can be added",
    );
}

fn switch_port(index: u32, model: &str, bus: u32) -> String {
    format!(
        "<controller type='pci' index='{index}' model='{model}'>\
         <address type='pci' bus='{bus}' slot='0'/></controller>"
    )
}

#[test]
fn buses_in_a_loop_are_refused() {
    let up = "pcie-switch-upstream-port";
    let down = switch_port(2, "pcie-switch-downstream-port", 1);
    let port = "<controller type='pci' index='3' model='pcie-root-port'/>";
    accepted("q35", &format!("{}{down}{port}", switch_port(1, up, 3)));
    refused(
        "q35",
        &format!("{}{down}{port}", switch_port(1, up, 2)),
        "the buses form a loop",
    );
}
