//! Guests and documents of the tests.

use std::collections::BTreeSet;

use passthru_domain::device::Item;
use passthru_domain::{DeviceDocument, Domain, Errors, Plugged};

use crate::common::{Emulator, accepted, guest};

/// Returns the completed domain of a running guest.
pub(crate) fn running(machine: &str, devices: &str) -> Domain {
    accepted(&guest(machine, devices))
}

/// Returns a q35 guest with spare ports of the indexes from 1 on, and then one without hotplug.
pub(crate) fn with_ports(spare: u32) -> Domain {
    let ports: String = (1..=spare).map(|index| port(index, "")).collect();
    let fixed = port(spare + 1, "<target hotplug='off'/>");
    let rest = "<controller type='usb' model='none'/><memballoon model='none'/>";
    running("q35", &format!("{ports}{fixed}{rest}"))
}

/// Returns a root port.
pub(crate) fn port(index: u32, inner: &str) -> String {
    format!("<controller type='pci' index='{index}' model='pcie-root-port'>{inner}</controller>")
}

/// Returns a function of the host, with more elements.
pub(crate) fn hostdev(bus: u8, function: u8, inner: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci'><source>\
         <address bus='{bus}' slot='0' function='{function}'/></source>{inner}</hostdev>"
    )
}

/// Returns the element of an address in the guest.
pub(crate) fn at(bus: u8, function: u8) -> String {
    format!("<address type='pci' bus='{bus}' slot='0' function='{function}'/>")
}

pub(crate) fn plug(domain: &Domain, xml: &str) -> Result<Plugged, Errors> {
    plug_unused(domain, xml, &[])
}

/// Plugs a document into a guest that has had devices with the aliases `used`.
pub(crate) fn plug_unused(domain: &Domain, xml: &str, used: &[&str]) -> Result<Plugged, Errors> {
    let used: BTreeSet<String> = used.iter().map(|alias| (*alias).to_owned()).collect();
    domain.plug(DeviceDocument::parse(xml)?, &Emulator, &used)
}

/// Asserts that a document is refused with words, at a part of it, and returns the advice.
#[track_caller]
pub(crate) fn refused(domain: &Domain, xml: &str, words: &str, at: &str) -> Option<String> {
    let errors = match plug(domain, xml) {
        Ok(plugged) => panic!("plugged: {:?}", plugged.items),
        Err(errors) => errors,
    };
    let found = errors.iter().find(|error| error.message.contains(words));
    let found = found.unwrap_or_else(|| panic!("expected '{words}', found: {errors}"));
    let span = found.span.clone();
    let span = span.unwrap_or_else(|| panic!("no position: {found}"));
    assert!(xml[span.clone()].starts_with(at), "{}", &xml[span]);
    found.hint.clone()
}

/// Returns alias and PCI address of a device.
pub(crate) fn place(domain: &Domain, item: Item) -> String {
    let alias = domain.devices.info(item).unwrap().id();
    let address = domain.devices.pci_address(item);
    format!(
        "{alias} {}",
        address.map_or_else(String::new, |at| at.to_string())
    )
}

/// Returns the places of new devices, in the order of plugging in.
pub(crate) fn places(plugged: &Plugged) -> Vec<String> {
    let items = plugged.items.iter();
    items.map(|item| place(&plugged.domain, *item)).collect()
}
