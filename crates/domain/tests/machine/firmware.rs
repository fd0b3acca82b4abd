//! Firmware, system information and launch security.

use passthru_domain::firmware::{FirmwareFormat, LoaderType};
use passthru_domain::nvram::NvramType;
use passthru_domain::toggle::OnOff;
use passthru_domain::{Arch, Domain, Error, FirmwareChoice, FirmwareMapping, Machine, Platform};

use crate::common::{Emulator, accepted, check, guest, refused};
use crate::helpers::with;

/// An emulator that gives each guest one firmware, or refuses it.
struct WithFirmware(Option<FirmwareChoice>);

impl Platform for WithFirmware {
    fn arch(&self) -> Arch {
        Emulator.arch()
    }

    fn emulator(&self, arch: Arch) -> String {
        Emulator.emulator(arch)
    }

    fn machine(&self, arch: Arch, name: Option<&str>) -> Result<Machine, Error> {
        Emulator.machine(arch, name)
    }

    fn cpu(&self, machine: &Machine, emulator: &str) -> Option<String> {
        Emulator.cpu(machine, emulator)
    }

    fn firmware(&self, _: &Domain, _: &Machine) -> Result<Option<FirmwareChoice>, Error> {
        match &self.0 {
            Some(choice) => Ok(Some(choice.clone())),
            None => Err(Error::new("no firmware fits".into())),
        }
    }
}

fn flash(requires_smm: bool) -> WithFirmware {
    WithFirmware(Some(FirmwareChoice {
        loader: "/fw/code".into(),
        mapping: FirmwareMapping::Flash {
            format: FirmwareFormat::Raw,
            template: Some(("/fw/vars".into(), FirmwareFormat::Raw)),
        },
        requires_smm,
    }))
}

/// Returns the XML of a guest whose `<os>` ends with a text.
fn efi(os: &str) -> String {
    with("q35", "<features><acpi/></features>")
        .replace("<os>", "<os firmware='efi'>")
        .replace("</os>", &format!("{os}</os>"))
}

fn complete(xml: &str, platform: &WithFirmware) -> Domain {
    Domain::parse(xml).unwrap().complete(platform).unwrap()
}

#[test]
fn chosen_flash_fills_in_loader_variables_and_smm() {
    let domain = complete(&efi(""), &flash(true));
    let loader = domain.os.loader.clone().unwrap();
    assert_eq!(loader.path.as_deref(), Some("/fw/code"));
    assert_eq!(loader.kind, Some(LoaderType::Pflash));
    assert_eq!((loader.readonly, loader.secure), (Some(true), Some(true)));

    let nvram = domain.os.nvram.clone().unwrap();
    assert_eq!(nvram.template.as_deref(), Some("/fw/vars"));
    assert!(nvram.lacks_location());

    let smm = domain.features.clone().unwrap().smm.unwrap();
    assert_eq!(smm.state, Some(OnOff::On));

    domain.validate(&flash(true)).unwrap();
    let again = domain.clone().complete(&flash(true)).unwrap();
    assert_eq!(again, domain);

    let plain = complete(&efi(""), &flash(false));
    assert_eq!(plain.os.loader.unwrap().secure, None);
    assert_eq!(plain.features.unwrap().smm, None);
}

#[test]
fn own_template_and_other_host_stay_as_they_are() {
    let own = complete(&efi("<nvram template='/own'/>"), &flash(false));
    assert_eq!(own.os.nvram.unwrap().template.as_deref(), Some("/own"));

    let network = "<nvram type='network'><source protocol='nbd'><host name='h'/></source></nvram>";
    let domain = complete(&efi(network), &flash(false));
    let nvram = domain.os.nvram.unwrap();
    assert_eq!(nvram.kind, Some(NvramType::Network));
    assert_eq!(nvram.template, None);
}

#[test]
fn firmware_that_does_not_fit_is_an_error_at_os() {
    let xml = efi("");
    let domain = Domain::parse(&xml).unwrap();
    let errors = domain.complete(&WithFirmware(None)).unwrap_err();
    let error = errors.iter().next().unwrap();

    assert_eq!(error.message, "no firmware fits");

    let span = error.span.clone().unwrap();
    assert!(xml[span].starts_with("<os"));
}

#[test]
fn read_only_flash_has_variables_without_an_nvram() {
    let implied = accepted(&firmware("type='pflash' readonly='yes'", ""));
    let nvram = implied.os.nvram.unwrap();
    assert!(nvram.lacks_location());
    assert_eq!(nvram.format, Some(FirmwareFormat::Raw));

    let qcow2 = accepted(&firmware("type='pflash' readonly='yes' format='qcow2'", ""));
    assert_eq!(qcow2.os.nvram.unwrap().format, Some(FirmwareFormat::Qcow2));
    for without in [
        "type='pflash'",
        "type='pflash' readonly='no'",
        "type='pflash' readonly='yes' stateless='yes'",
        "type='rom'",
    ] {
        assert_eq!(accepted(&firmware(without, "")).os.nvram, None, "{without}");
    }
}

#[test]
fn wishes_that_contradict_each_other_are_refused() {
    let keys_alone = "<firmware><feature enabled='yes' name='enrolled-keys'/>\
        <feature enabled='no' name='secure-boot'/></firmware>";
    refused(&efi(keys_alone), "needs 'secure-boot'", "<os");
    let no_choice = efi(keys_alone).replace(" firmware='efi'", "");
    refused(&no_choice, "<os> asks for no choice", "<os");
    let bios = efi("<nvram>/v</nvram>").replace("'efi'", "'bios'");
    refused(&bios, "keeps no variables", "<nvram");
}

#[test]
fn bios_with_variables_is_one_error() {
    let bios = efi("<nvram>/v</nvram>").replace("'efi'", "'bios'");
    let errors = check(&bios).unwrap_err();
    assert_eq!(errors.iter().len(), 1, "{errors}");
}

#[test]
fn varstore_is_for_firmware_in_rom_alone() {
    let store = "<varstore template='/t.json' path='/v.json'/>";
    let domain = accepted(&firmware("type='rom'", store));
    assert!(domain.format().contains(store), "{}", domain.format());

    accepted(&efi(store));

    refused(
        &firmware("type='pflash' readonly='no'", store),
        "read-only memory only",
        "<varstore",
    );
    let both = format!("<nvram>/v</nvram>{store}");
    refused(&efi(&both), "both keep the variables", "<varstore");
    let alone = efi(store).replace(" firmware='efi'", "");
    refused(&alone, "needs firmware that uses it", "<varstore");
}

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

#[test]
fn nvram_of_firmware_in_rom_is_accepted_and_noted() {
    for kind in ["type='rom'", ""] {
        let xml = firmware(kind, "<nvram>/v</nvram>");
        let domain = accepted(&xml);
        let notes = domain.notes();
        let note = notes.iter().find(|note| note.message.contains("<nvram>"));
        let span = note.unwrap().span.clone().unwrap();
        assert!(xml[span].starts_with("<nvram"), "{notes:?}");
        assert_eq!(domain.os.variables(), None);
    }

    let flash = accepted(&firmware(
        "type='pflash' readonly='yes'",
        "<nvram>/v</nvram>",
    ));
    assert!(flash.os.variables().is_some());

    let bios = with("q35", "").replace("<os>", "<os firmware='bios'>");
    let with_nvram = bios.replace("</os>", "<nvram>/v</nvram></os>");
    refused(&with_nvram, "keeps no variables", "<nvram");
    let without_loader = with("q35", "").replace("</os>", "<nvram>/v</nvram></os>");
    refused(&without_loader, "firmware in flash memory only", "<os");
}

#[test]
fn acpi_on_arm_without_uefi_is_refused() {
    let acpi = with("virt", "<features><acpi/></features>");
    refused(&acpi, "ACPI needs UEFI", "<os");
    let rom = acpi.replace("</os>", "<loader>/fw</loader></os>");
    refused(&rom, "ACPI needs UEFI", "<os");
    accepted(&acpi.replace(
        "</os>",
        "<loader type='pflash' readonly='yes'>/fw</loader></os>",
    ));
    accepted(&with("virt", ""));
}

fn bios(machine: &str, devices: &str) -> String {
    guest(machine, devices).replace("</os>", "<bios useserial='yes'/></os>")
}

#[test]
fn bios_output_without_a_serial_port_is_refused() {
    refused(&bios("q35", ""), "needs at least one serial port", "<os");
    refused(
        &bios("virt", "<serial type='pty'/>"),
        "is for x86 only",
        "<os",
    );
    accepted(&bios("q35", "<serial type='pty'/>"));
    accepted(&bios("q35", "<console type='pty'/>"));
    accepted(&bios("q35", "").replace("'yes'", "'no'"));
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

fn smbios_uuid(uuid: &str) -> String {
    smbios(&format!(
        "<system><entry name='uuid'>{uuid}</entry></system>"
    ))
}

#[test]
fn sysinfo_uuid_that_differs_from_the_guests_is_refused() {
    let own = "00000000-0000-4000-8000-0000000000ab";
    let uuid = format!("<uuid>{own}</uuid><sysinfo");
    refused(
        &smbios_uuid("00000000-0000-4000-8000-0000000000ff").replace("<sysinfo", &uuid),
        "UUID mismatch between <uuid> and <sysinfo>",
        "<system",
    );
    refused(&smbios_uuid("one"), "malformed uuid 'one'", "<system");
    accepted(&smbios_uuid(own).replace("<sysinfo", &uuid));
}

#[test]
fn guest_without_uuid_gets_that_of_its_sysinfo() {
    let domain = accepted(&smbios_uuid("000000000000400080000000000000AB"));
    let expected = "00000000-0000-4000-8000-0000000000ab";
    assert_eq!(domain.uuid.unwrap().to_string(), expected);
    assert!(domain.format().contains(&format!(">{expected}</entry>")));
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
        "<keywrap",
    );
}
