//! Controllers.

use crate::helpers::refused;

fn pci_controller(rest: &str) -> String {
    format!("<controller type='pci' {rest}/>")
}

fn pci_bridge(slot: &str) -> String {
    format!("<controller type='pci' index='1' model='pci-bridge'>{slot}</controller>")
}

#[test]
fn impossible_controllers_are_refused() {
    refused(
        "pc",
        &pci_controller("index='0' model='pcie-root'"),
        "must be a 'pci-root' on the machine 'pc'",
        "<controller",
    );
    refused(
        "q35",
        &pci_controller("index='0' model='pci-root'"),
        "must be a 'pcie-root' on the machine 'q35'",
        "<controller",
    );
    refused(
        "pc",
        &pci_controller("index='1' model='pci-root'"),
        "must have the index 0",
        "<controller",
    );
    refused(
        "q35",
        &pci_controller("index='300' model='pcie-root-port'"),
        "index 300 of a PCI controller is above 255",
        "<con",
    );
    let twice = format!("{0}{0}", pci_controller("index='1' model='pci-bridge'"));
    refused(
        "pc",
        &twice,
        "two 'pci' controllers have the index 1",
        "<controller",
    );
    let own = pci_bridge("<address type='pci' bus='1' slot='1'/>");
    refused(
        "pc",
        &own,
        "its index must be larger than its bus",
        "<controller",
    );
    refused(
        "q35",
        "<controller type='usb' model='pcie-root-port'/>",
        "not a model of a 'usb' controller",
        "<con",
    );
    refused(
        "q35",
        "<controller type='ide' index='0'/>",
        "has no IDE controller",
        "<controller",
    );
    refused(
        "q35",
        "<controller type='pci' index='1' model='pcie-switch-downstream-port'/>",
        "none can be added",
        "<con",
    );
}

#[test]
fn root_ports_beyond_the_slots_are_refused() {
    let ports = "<controller type='pci' model='pcie-root-port'/>".repeat(250);
    refused(
        "q35",
        &ports,
        "no slot is free that accepts a pcie-root-port",
        "<controller",
    );
}
