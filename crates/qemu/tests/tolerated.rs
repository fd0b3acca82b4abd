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
    line.unwrap_or_else(|e| panic!("{e}"))
        .render(&Placeholders)
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
    words(&guest(arch, machine, &format!("<clock>{timers}</clock>"), ""))
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
