//! Tests of the choice: descriptors of our own, and domains that ask for them.

use passthru_domain::firmware::{FirmwareFormat, LoaderType};
use passthru_domain::{Arch, Domain, FirmwareMapping};

use super::{FirmwareCatalog, FirmwareDescriptor};
use crate::capabilities::Capabilities;

/// Returns the text of a descriptor of split flash memory at `/fw/NAME.code` and `/fw/NAME.vars`.
fn flash(name: &str, machines: &str, features: &str) -> String {
    format!(
        r#"{{"description": "a firmware", "interface-types": ["uefi"], "tags": ["x"],
        "mapping": {{"device": "flash",
            "executable": {{"filename": "/fw/{name}.code", "format": "raw"}},
            "nvram-template": {{"filename": "/fw/{name}.vars", "format": "raw"}}}},
        "targets": [{{"architecture": "x86_64", "machines": {machines}}}],
        "features": {features}}}"#
    )
}

fn parse(name: &str, text: &str) -> FirmwareDescriptor {
    FirmwareDescriptor::parse(&format!("{name}.json"), text.as_bytes()).unwrap()
}

/// Returns firmwares with and without secure boot, in the order of a distribution.
fn host() -> FirmwareCatalog {
    let q35 = r#"["pc-q35-*"]"#;
    let both = r#"["pc-i440fx-*", "pc-q35-*"]"#;
    let rom = r#"{"interface-types": ["bios"],
        "mapping": {"device": "memory", "filename": "/fw/bios.bin"},
        "targets": [{"architecture": "x86_64", "machines": ["pc-*"]}], "features": []}"#;
    let stateless = flash("stateless", both, r#"["amd-sev", "amd-sev-es"]"#).replace(
        r#""device": "flash","#,
        r#""device": "flash", "mode": "stateless","#,
    );
    FirmwareCatalog::Descriptors(vec![
        parse(
            "enrolled",
            &flash(
                "enrolled",
                q35,
                r#"["enrolled-keys", "requires-smm", "secure-boot"]"#,
            ),
        ),
        parse(
            "secure",
            &flash("secure", q35, r#"["requires-smm", "secure-boot"]"#),
        ),
        parse("plain", &flash("plain", both, r#"["acpi-s3", "amd-sev"]"#)),
        parse("stateless", &stateless),
        parse("bios", rom),
    ])
}

fn xml(machine: &str, os: &str, rest: &str) -> String {
    format!(
        "<domain type='kvm'><name>vm</name><memory>1048576</memory>\
         <os firmware='efi'><type arch='x86_64' machine='{machine}'>hvm</type>{os}</os>\
         <features><acpi/></features>{rest}</domain>"
    )
}

fn complete(xml: &str) -> Domain {
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(host());
    let domain = Domain::parse(xml).unwrap().complete(&capabilities).unwrap();
    domain.validate(&capabilities).unwrap();
    domain
}

/// Returns the path of the code that a domain gets.
fn code(xml: &str) -> String {
    complete(xml).os.loader.unwrap().path.unwrap()
}

/// Returns the path of the code that a guest on the machine `q35` gets.
fn code_with(os: &str, rest: &str) -> String {
    code(&xml("q35", os, rest))
}

/// Returns a complete domain that asks for no choice.
fn named(os: &str) -> Domain {
    complete(&xml("q35", os, "").replace(" firmware='efi'", ""))
}

fn refusal(xml: &str) -> String {
    refusal_by(host(), xml)
}

fn refusal_by(catalog: FirmwareCatalog, xml: &str) -> String {
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(catalog);
    let errors = Domain::parse(xml).unwrap().complete(&capabilities);
    errors.unwrap_err().to_string()
}

fn feature(name: &str, enabled: &str) -> String {
    format!("<firmware><feature enabled='{enabled}' name='{name}'/></firmware>")
}

#[test]
fn first_fitting_firmware_is_chosen() {
    assert_eq!(code(&xml("pc-q35-7.2", "", "")), "/fw/enrolled.code");
    assert_eq!(code(&xml("q35", "", "")), "/fw/enrolled.code");
    assert_eq!(code(&xml("pc", "", "")), "/fw/plain.code");
    let bios = xml("pc-q35-7.2", "", "").replace("'efi'", "'bios'");
    assert_eq!(code(&bios), "/fw/bios.bin");
}

#[test]
fn features_of_the_domain_narrow_the_choice() {
    assert_eq!(
        code_with(&feature("secure-boot", "no"), ""),
        "/fw/plain.code"
    );
    assert_eq!(
        code_with(&feature("secure-boot", "yes"), ""),
        "/fw/enrolled.code"
    );
    assert_eq!(
        code_with(&feature("enrolled-keys", "no"), ""),
        "/fw/secure.code"
    );
    assert_eq!(code_with("<loader secure='no'/>", ""), "/fw/plain.code");
    assert_eq!(code_with("<loader secure='yes'/>", ""), "/fw/enrolled.code");
    assert_eq!(
        code_with("<loader stateless='yes'/>", ""),
        "/fw/stateless.code"
    );
    assert_eq!(
        code_with("<nvram template='/fw/secure.vars'/>", ""),
        "/fw/secure.code"
    );

    let sleep = "<pm><suspend-to-mem enabled='yes'/></pm>";
    assert_eq!(code_with("", sleep), "/fw/plain.code");

    let sev = "<launchSecurity type='sev'><policy>3</policy></launchSecurity>";
    assert_eq!(code_with("", sev), "/fw/plain.code");

    let off = xml("q35", "", "").replace("<acpi/>", "<acpi/><smm state='off'/>");
    assert_eq!(code(&off), "/fw/plain.code");
}

#[test]
fn chosen_flash_fills_in_loader_nvram_and_smm() {
    let domain = complete(&xml("q35", "", ""));
    let text = domain.format();
    for part in [
        "<loader readonly='yes' secure='yes' type='pflash' format='raw'>/fw/enrolled.code<",
        "<nvram template='/fw/enrolled.vars' format='raw'/>",
        "<smm state='on'/>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let plain = complete(&xml("pc", "", "")).format();

    assert!(
        !plain.contains("<smm") && !plain.contains("secure="),
        "{plain}"
    );

    let stateless = complete(&xml("q35", "<loader stateless='yes'/>", ""));
    assert_eq!(stateless.os.nvram, None);
}

#[test]
fn completion_with_firmware_changes_nothing_twice() {
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(host());
    let once = complete(&xml("q35", "", ""));
    let twice = once.clone().complete(&capabilities).unwrap();
    assert_eq!(once, twice);

    let descriptor = capabilities.firmware_descriptor(&once).unwrap();
    assert_eq!(descriptor.name(), "enrolled.json");
}

#[test]
fn firmware_that_does_not_fit_is_refused_with_reasons() {
    let text = refusal(&xml("pc", &feature("secure-boot", "yes"), ""));
    assert_eq!(
        text,
        "no firmware fits this <os firmware='efi'>: plain.json lacks secure-boot; stateless.json \
         lacks secure-boot"
    );

    let text = refusal(&xml("microvm", "", ""));
    assert_eq!(
        text,
        "no firmware for <os firmware='efi'> on the machine 'microvm' (x86_64)"
    );

    let es = "<launchSecurity type='sev'><policy>5</policy></launchSecurity>";
    let text = refusal(&xml("q35", "", es));
    assert!(text.contains("stateless.json keeps no variables"), "{text}");
}

#[test]
fn refusal_by_the_table_names_the_table() {
    assert_eq!(
        refusal_by(FirmwareCatalog::WellKnown, &xml("microvm", "", "")),
        "the table of well-known paths has no firmware for <os firmware='efi'> on the machine \
         'microvm' (x86_64)"
    );

    let secure = xml("pc", &feature("secure-boot", "yes"), "");
    let refused = refusal_by(FirmwareCatalog::WellKnown, &secure);
    assert!(
        refused.starts_with("no firmware of the table of well-known paths fits this <os"),
        "{refused}"
    );
}

#[test]
fn named_code_gets_what_goes_with_it() {
    let domain = named("<loader type='pflash'>/fw/plain.code</loader>");
    let nvram = domain.os.nvram.unwrap();
    assert_eq!(nvram.template.as_deref(), Some("/fw/plain.vars"));
    assert_eq!(domain.os.loader.unwrap().readonly, Some(true));

    // Another template than the descriptor's stays, as does a file that no descriptor names.
    let own = named(
        "<loader type='pflash' readonly='yes'>/fw/plain.code</loader><nvram template='/own'/>",
    );
    assert_eq!(own.os.nvram.unwrap().template.as_deref(), Some("/own"));

    let unknown = named("<loader type='pflash' readonly='yes'>/own.code</loader>");
    assert_eq!(unknown.os.nvram.unwrap().template, None);

    let both = named("<loader type='pflash'>/own.both</loader>");
    assert_eq!(both.os.nvram, None);
}

#[test]
fn flash_without_a_file_is_refused_without_firmware_attribute() {
    let flash = "<loader type='pflash' readonly='yes'/>";
    let text = xml("q35", flash, "").replace(" firmware='efi'", "");
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(host());
    let domain = Domain::parse(&text).unwrap().complete(&capabilities);
    let errors = domain.unwrap().validate(&capabilities).unwrap_err();

    assert!(
        errors.to_string().contains("<loader> names no file"),
        "{errors}"
    );
}

#[test]
fn open_choice_keeps_what_a_named_code_needs() {
    let code = "/usr/share/edk2/ovmf/OVMF_CODE_4M.qcow2";
    let os = format!("<loader readonly='yes' type='pflash'>{code}</loader>");
    let text = xml("q35", &os, "").replace(" firmware='efi'", "");
    let open = Capabilities::builtin(Arch::X86_64).with_firmware(FirmwareCatalog::Named);
    let formatted = Domain::parse(&text).unwrap().complete(&open).unwrap();

    assert_eq!(
        formatted.os.loader.as_ref().unwrap().format,
        Some(FirmwareFormat::Qcow2)
    );

    let table = Capabilities::builtin(Arch::X86_64);
    let again = Domain::parse(&formatted.format()).unwrap();
    let converted = Domain::parse(&text).unwrap().complete(&table).unwrap();
    assert_eq!(again.complete(&table).unwrap().os.nvram, converted.os.nvram);
}

/// Returns the format of the variables of a guest whose code is qcow2 and whose template is raw.
fn format_of_variables(os: &str) -> Option<FirmwareFormat> {
    let mixed = flash("mixed", r#"["pc-q35-*"]"#, "[]").replace(
        r#"mixed.code", "format": "raw""#,
        r#"mixed.code", "format": "qcow2""#,
    );
    let catalog = FirmwareCatalog::Descriptors(vec![parse("mixed", &mixed)]);
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(catalog);
    let domain = Domain::parse(&xml("q35", os, "")).unwrap();
    let os = domain.complete(&capabilities).unwrap().os;
    assert_eq!(os.loader.unwrap().format, Some(FirmwareFormat::Qcow2));
    os.nvram.unwrap().format
}

#[test]
fn variables_have_the_format_of_their_template() {
    for os in ["", "<nvram template='/fw/mixed.vars'/>"] {
        assert_eq!(format_of_variables(os), Some(FirmwareFormat::Raw), "{os}");
    }

    let own = "<loader type='pflash' readonly='yes' format='qcow2'>/own</loader>\
        <nvram template='/own.vars' templateFormat='raw'/>";
    let text = xml("q35", own, "").replace(" firmware='efi'", "");
    assert_eq!(
        complete(&text).os.nvram.unwrap().format,
        Some(FirmwareFormat::Raw)
    );
}

#[test]
fn contradictory_wishes_are_not_also_a_failed_choice() {
    let keys = "<firmware><feature enabled='yes' name='enrolled-keys'/>\
        <feature enabled='no' name='secure-boot'/></firmware>";
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(host());
    let domain = Domain::parse(&xml("q35", keys, "")).unwrap();
    let errors = domain
        .complete(&capabilities)
        .unwrap()
        .validate(&capabilities);
    let errors = errors.unwrap_err();

    assert_eq!(errors.iter().count(), 1);
    assert!(
        errors.to_string().contains("needs 'secure-boot'"),
        "{errors}"
    );
}

#[test]
fn secure_boot_of_a_named_file_needs_no_smm_with_a_choice() {
    let code = "<loader secure='yes' readonly='yes' type='pflash'>/own.smm</loader>";
    assert_eq!(
        complete(&xml("q35", code, "")).os.loader.unwrap().secure,
        Some(true)
    );

    let without = xml("q35", code, "").replace(" firmware='efi'", "");
    let domain = Domain::parse(&without).unwrap();
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(host());
    let errors = domain
        .complete(&capabilities)
        .unwrap()
        .validate(&capabilities);
    assert!(
        errors
            .unwrap_err()
            .to_string()
            .contains("needs the feature <smm>")
    );
}

#[test]
fn bios_without_descriptor_is_that_of_the_machine() {
    let capabilities =
        Capabilities::builtin(Arch::X86_64).with_firmware(FirmwareCatalog::Descriptors(Vec::new()));
    let bios = xml("q35", "", "").replace("'efi'", "'bios'");
    let domain = Domain::parse(&bios).unwrap().complete(&capabilities);
    assert_eq!(domain.unwrap().os.loader, None);
}

#[test]
fn well_known_paths_are_debians_first() {
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let domain = Domain::parse(&xml("pc-q35-7.2", "", "")).unwrap();
    let domain = domain.complete(&capabilities).unwrap();
    let nvram = domain.os.nvram.unwrap();

    assert_eq!(
        domain.os.loader.unwrap().path.as_deref(),
        Some("/usr/share/OVMF/OVMF_CODE_4M.ms.fd")
    );
    assert_eq!(
        nvram.template.as_deref(),
        Some("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")
    );
}

#[test]
fn protected_memory_gets_firmware_for_it() {
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let snp = "<launchSecurity type='sev-snp'><policy>0x30000</policy></launchSecurity>";
    let domain = Domain::parse(&xml("q35", "", snp)).unwrap();
    let loader = domain.complete(&capabilities).unwrap().os.loader.unwrap();

    assert_eq!(
        loader.path.as_deref(),
        Some("/usr/share/edk2/ovmf/OVMF.amdsev.fd")
    );
    assert_eq!(loader.kind, Some(LoaderType::Rom));
}

#[test]
fn rom_with_host_variables_gets_a_varstore() {
    let text = r#"{"interface-types": ["uefi"],
        "mapping": {"device": "memory", "filename": "/fw/vars.fd",
            "uefi-vars": {"template": "/fw/vars.json"}},
        "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
        "features": ["host-uefi-vars", "secure-boot"]}"#;
    let choice = super::choice::choice(&parse("vars", text)).unwrap();
    assert_eq!(
        choice.mapping,
        FirmwareMapping::Rom {
            varstore: Some(Some("/fw/vars.json".into()))
        }
    );

    let catalog = FirmwareCatalog::Descriptors(vec![parse("vars", text)]);
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(catalog);
    let domain = Domain::parse(&xml("q35", "", "")).unwrap();
    let domain = domain.complete(&capabilities).unwrap();
    domain.validate(&capabilities).unwrap();
    let text = domain.format();
    assert!(
        text.contains("<varstore template='/fw/vars.json'/>"),
        "{text}"
    );

    let line = crate::command_line(&domain, &capabilities, crate::Style::Standalone).unwrap();
    let text = line.pretty(&crate::Paths);
    let device = r#"{"driver":"uefi-vars-x64","jsonfile":"/var/lib/passthru/nvram/vm_VARS.json"}"#;
    assert!(text.contains(device), "{text}");
    assert!(text.contains("-bios /fw/vars.fd"), "{text}");
}

#[test]
fn varstore_of_the_domain_chooses_firmware_that_uses_it() {
    let arm = xml("virt", "<varstore path='/v.json'/>", "").replace("x86_64", "aarch64");
    let capabilities = Capabilities::builtin(Arch::Aarch64);
    let domain = Domain::parse(&arm).unwrap();
    let domain = domain.complete(&capabilities).unwrap();
    domain.validate(&capabilities).unwrap();
    let varstore = domain.os.varstore.clone().unwrap();

    assert_eq!(
        varstore.template.as_deref(),
        Some("/usr/share/edk2/aarch64/vars.secboot.json")
    );

    let line = crate::command_line(&domain, &capabilities, crate::Style::Managed).unwrap();
    let text = line.pretty(&crate::Placeholders);
    let device = r#"{"driver":"uefi-vars-sysbus","jsonfile":"/v.json"}"#;
    assert!(text.contains(device), "{text}");
}

#[test]
fn template_in_qcow2_gives_variables_in_qcow2() {
    let code = "/usr/share/edk2/ovmf/OVMF_CODE_4M.qcow2";
    let loader = format!("<loader type='pflash' readonly='yes' format='qcow2'>{code}</loader>");
    let capabilities = Capabilities::builtin(Arch::X86_64);
    let domain = Domain::parse(&xml("q35", &loader, "")).unwrap();
    let nvram = domain.complete(&capabilities).unwrap().os.nvram.unwrap();

    assert_eq!(nvram.format, Some(FirmwareFormat::Qcow2));
}

#[test]
fn descriptor_with_unknown_words_is_read_and_not_chosen() {
    let text = flash("new", r#"["pc-q35-*"]"#, r#"["from-the-future"]"#).replace(
        r#""device": "flash","#,
        r#""device": "igvm", "filename": "/fw/x.igvm","#,
    );
    let descriptor = parse("new", &text);
    assert_eq!(descriptor.code(), None);

    let error = FirmwareDescriptor::parse("x.json", b"{}").unwrap_err();
    assert_eq!(error.to_string(), "x.json is not a firmware descriptor");
}

#[test]
fn domain_without_a_choice_has_no_command_line() {
    let capabilities = Capabilities::builtin(Arch::X86_64).with_firmware(FirmwareCatalog::Named);
    let domain = Domain::parse(&xml("q35", "", "")).unwrap();
    let domain = domain.complete(&capabilities).unwrap();
    assert_eq!(domain.os.loader, None);

    let error = crate::command_line(&domain, &capabilities, crate::Style::Managed).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no firmware was chosen for <os firmware='efi'>"
    );
}
