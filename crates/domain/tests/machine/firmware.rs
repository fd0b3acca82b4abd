//! Firmware, system information and launch security.

use crate::common::{accepted, guest, refused};
use crate::helpers::with;

fn firmware(loader: &str, rest: &str) -> String {
    let loader = format!("<loader {loader}>/fw</loader>{rest}</os>");
    with("q35", "<features><acpi/></features>").replace("</os>", &loader)
}

#[test]
fn loader_and_nvram_that_disagree_are_refused() {
    let flash = "type='pflash' readonly='yes'";
    accepted(&firmware(
        flash,
        "<nvram type='file'><source file='/vars'/></nvram>",
    ));
    refused(
        &firmware(
            &format!("{flash} stateless='yes'"),
            "<nvram template='/t'/>",
        ),
        "with a template",
        "<nvram",
    );
    refused(
        &firmware(&format!("{flash} stateless='yes'"), "<nvram>/v</nvram>"),
        "keeps nothing",
        "<nvram",
    );
    refused(
        &firmware("type='rom' stateless='no'", ""),
        "only firmware in flash memory",
        "<os",
    );
    refused(
        &firmware("type='pflash' readonly='no'", "<nvram>/v</nvram>"),
        "keeps its variables itself",
        "<nvram",
    );
    refused(
        &firmware("type='pflash' readonly='no' stateless='no'", ""),
        "only read-only firmware",
        "<os",
    );
    refused(
        &firmware(&format!("{flash} secure='yes'"), ""),
        "needs the feature <smm>",
        "<os",
    );
    accepted(
        &firmware(&format!("{flash} secure='yes'"), "")
            .replace("<acpi/>", "<acpi/><smm state='on'/>"),
    );
    let pc =
        firmware(&format!("{flash} secure='yes'"), "").replace("machine='q35'", "machine='pc'");
    refused(&pc, "is for the machine 'q35' only", "<os");
    refused(
        &firmware(flash, "<nvram type='network'/>"),
        "a <source protocol=…> with its <host>",
        "<nvram",
    );
    refused(
        &firmware(flash, "<nvram type='block'><source file='/x'/></nvram>"),
        "a <source dev=…>",
        "<nvram",
    );
    refused(
        &firmware(flash, "<nvram type='file'><source file='/x'/>/v</nvram>"),
        "twice",
        "<nvram",
    );
}

fn smbios(text: &str) -> String {
    with("q35", &format!("<sysinfo type='smbios'>{text}</sysinfo>"))
}

fn fwcfg(text: &str) -> String {
    with(
        "q35",
        &format!("<sysinfo type='fwcfg'><entry {text}</entry></sysinfo>"),
    )
}

#[test]
fn unknown_sysinfo_entries_are_refused() {
    accepted(&smbios("<bios><entry name='vendor'>x</entry></bios>"));
    refused(
        &smbios("<bios><entry name='serial'>x</entry></bios>"),
        "has no entry 'serial'",
        "<sysinfo",
    );
    refused(
        &smbios("<entry name='opt/x'>y</entry>"),
        "is for type 'fwcfg'",
        "<sysinfo",
    );
    accepted(&fwcfg("name='opt/org.example/x'>y"));
    refused(&fwcfg("name='etc/x'>y"), "must begin with 'opt/'", "<entry");
    refused(&fwcfg("name='opt/ovmf/x'>y"), "is reserved", "<entry");
    refused(
        &fwcfg("name='opt/org.example/x' file='/f'>y"),
        "needs either a value or a 'file'",
        "<entry",
    );
}

fn with_last(machine: &str, text: &str) -> String {
    guest(machine, "").replace("</domain>", &format!("{text}</domain>"))
}

#[test]
fn launch_security_of_other_machines_is_refused() {
    let sev = "<launchSecurity type='sev'><policy>3</policy></launchSecurity>";
    accepted(&with_last("q35", sev));
    refused(
        &with_last("virt", sev),
        "is for x86_64 only",
        "<launchSecurity",
    );
    refused(
        &with_last("q35", sev).replace("'kvm'", "'qemu'"),
        "needs <domain type='kvm'>",
        "<launchSecurity",
    );
    refused(
        &with_last("q35", "<launchSecurity type='sev'/>"),
        "needs a <policy>",
        "<launchSecurity",
    );
    refused(
        &with_last("pc", "<launchSecurity type='tdx'/>"),
        "is for the machine 'q35' only",
        "<launchSecurity",
    );
    let keys = "<keywrap><cipher name='aes' state='on'/></keywrap>";
    refused(
        &with_last("q35", keys),
        "<keywrap> is for s390x only",
        "<domain",
    );
}
