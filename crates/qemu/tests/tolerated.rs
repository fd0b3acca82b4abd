//! Command lines of domains with settings that libvirt ignores.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use passthru_domain::{Arch, Backend, Domain};
use passthru_qemu::{Capabilities, Placeholders, Style, command_line};

/// Returns the words of a guest's command line.
fn words(xml: &str) -> Vec<String> {
    let parsed = Domain::parse(xml).unwrap_or_else(|e| panic!("{e}"));
    let capabilities = Capabilities::builtin(parsed.os.kind.arch.unwrap());
    let completed = parsed.complete(&capabilities);
    let mut domain = completed.unwrap_or_else(|e| panic!("{e}"));
    domain
        .validate(&capabilities)
        .unwrap_or_else(|e| panic!("{e}"));
    domain.set_default_backend(Backend::Type1);
    let line = command_line(&domain, &capabilities, Style::Managed);
    line.unwrap_or_else(|e| panic!("{e}")).render(&Placeholders)
}

/// Returns the XML of a guest with elements before its devices, and with devices.
fn guest(arch: Arch, machine: &str, elements: &str, devices: &str) -> String {
    format!(
        "<domain type='qemu'><name>t</name><memory unit='MiB'>512</memory>\
         <os><type arch='{arch}' machine='{machine}'>hvm</type></os>{elements}\
         <devices>{devices}</devices></domain>"
    )
}

fn timers(arch: Arch, machine: &str, timers: &str) -> Vec<String> {
    words(&guest(
        arch,
        machine,
        &format!("<clock>{timers}</clock>"),
        "",
    ))
}

#[test]
fn timers_of_x86_give_no_option_on_arm() {
    let absent = "<timer name='hpet' present='no'/><timer name='pit' tickpolicy='delay'/>\
        <timer name='kvmclock' present='no'/><timer name='tsc' frequency='1000'/>";
    assert_eq!(
        timers(Arch::Aarch64, "virt", absent),
        timers(Arch::Aarch64, "virt", "")
    );
}

#[test]
fn tick_policy_of_hpet_gives_no_option() {
    let plain = "<timer name='hpet' present='no'/>";
    let with_policy = "<timer name='hpet' present='no' tickpolicy='catchup'/>";
    assert_eq!(
        timers(Arch::X86_64, "q35", with_policy),
        timers(Arch::X86_64, "q35", plain)
    );
}

/// Returns the position of the first word that contains a text.
fn position(words: &[String], text: &str) -> usize {
    let found = words.iter().position(|word| word.contains(text));
    found.unwrap_or_else(|| panic!("no {text}: {words:?}"))
}

#[test]
fn buses_come_before_the_controllers_on_them() {
    let alone = "<controller type='pci' model='pcie-to-pci-bridge'/>";
    let line = words(&guest(Arch::X86_64, "q35", "", alone));
    let bridge = position(
        &line,
        r#""driver":"pcie-pci-bridge","id":"pci.1","bus":"pci.2""#,
    );
    let port = line
        .iter()
        .position(|word| word.contains(r#""id":"pci.2""#));

    assert!(port.unwrap() < bridge, "{line:?}");

    let switch = "<controller type='pci' index='1' model='pcie-switch-upstream-port'>\
        <address type='pci' bus='3' slot='0'/></controller>\
        <controller type='pci' index='2' model='pcie-switch-downstream-port'>\
        <address type='pci' bus='1' slot='0'/></controller>\
        <controller type='pci' index='3' model='pcie-root-port'/>";
    let line = words(&guest(Arch::X86_64, "q35", "", switch));
    let ids = ["pci.3", "pci.1", "pci.2"].map(|id| position(&line, &format!(r#""id":"{id}""#)));
    assert!(ids.is_sorted(), "{line:?}");
}

#[test]
fn absent_usb_controller_with_an_address_gives_no_option() {
    let at = "<address type='pci' bus='0' slot='7' function='0'/>";
    let controller = format!("<controller type='usb' model='none'>{at}</controller>");
    let line = words(&guest(Arch::X86_64, "q35", "", &controller));
    let without = words(&guest(Arch::X86_64, "q35", "", &controller.replace(at, "")));

    assert_eq!(line, without);
    assert!(line.iter().any(|word| word.contains("usb=off")));
}

#[test]
fn product_of_a_sata_disk_is_its_model() {
    let disk = "<disk type='file'><source file='/x'/><target dev='sda' bus='sata'/>\
        <vendor>V</vendor><product>Disk of forty</product></disk>";
    let line = words(&guest(Arch::X86_64, "q35", "", disk));
    let device = &line[position(&line, r#""driver":"ide-hd""#)];
    assert!(device.contains(r#""model":"Disk of forty""#), "{device}");
    assert!(!device.contains("vendor"), "{device}");
}
