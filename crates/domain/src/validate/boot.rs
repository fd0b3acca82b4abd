//! Firmware, kernel and boot order.

use super::check::{Check, duplicates, span_of};
use crate::model::domain::Domain;
use crate::model::firmware::{Firmware, FirmwareFeatureName, LoaderType};
use crate::model::os::Arch;
use crate::model::toggle::OnOff;
use crate::platform::{Board, Machine};

pub(super) fn check(check: &mut Check<'_>) {
    check_firmware(check);
    check_bios(check);
    check_boot(check);
}

/// Returns whether what a domain says of its firmware has no errors.
pub(crate) fn has_sound_firmware(domain: &Domain, machine: &Machine) -> bool {
    let mut check = Check::new(domain, machine);
    check_firmware(&mut check);
    check.errors.is_empty()
}

/// Checks `<os firmware>`, `<loader>`, and the parts that need a `<kernel>`.
fn check_firmware(check: &mut Check<'_>) {
    let os = &check.domain.os;
    let x86 = matches!(check.machine.arch, Arch::X86_64 | Arch::I686);
    let pflash = os
        .loader
        .as_ref()
        .is_some_and(|l| l.kind == Some(LoaderType::Pflash));
    let acpi = check.domain.features.as_ref().is_some_and(|f| f.acpi);
    if x86 && (pflash || os.firmware == Some(Firmware::Efi)) && !acpi {
        let message = "UEFI firmware needs ACPI on x86".to_owned();
        check.error_with_hint(&os.span, message, "add <features><acpi/></features>");
    }

    // The tables of the machine 'virt' reach the guest through its firmware alone.
    let efi = pflash || os.firmware == Some(Firmware::Efi);
    if check.machine.arch == Arch::Aarch64 && acpi && !efi {
        let message = "ACPI needs UEFI firmware on aarch64".to_owned();
        check.error_with_hint(
            &os.span,
            message,
            "set <os firmware='efi'>, or remove <acpi/> from <features>",
        );
    }

    let lacks_file = os.loader.as_ref().is_some_and(|l| l.path.is_none());
    if lacks_file && os.firmware.is_none() {
        let message = "<loader> names no file".to_owned();
        check.error_with_hint(&os.span, message, "give the path of the firmware");
    }

    check_features(check);
    check_varstore(check);
    check_nvram(check);
    check_secure(check);
    if os.nvram.is_some() && os.firmware.is_none() && os.loader.is_none() {
        let message = "<nvram> is for firmware in flash memory only".to_owned();
        check.error_with_hint(
            &os.span,
            message,
            "set <loader type='pflash' readonly='yes'>",
        );
    }

    for (part, is_set) in [
        ("initrd", os.initrd.is_some()),
        ("cmdline", os.cmdline.is_some()),
    ] {
        if is_set && os.kernel.is_none() {
            check.error(&os.span, format!("<{part}> needs a <kernel>"));
        }
    }
}

/// Checks that output of the BIOS to the serial port has a port, on x86.
fn check_bios(check: &mut Check<'_>) {
    let os = &check.domain.os;
    if os.bios.as_ref().and_then(|bios| bios.useserial) != Some(true) {
        return;
    }
    let arch = check.machine.arch;
    if !matches!(arch, Arch::X86_64 | Arch::I686) {
        check.error(
            &os.span,
            format!("<bios useserial='yes'> is for x86 only, not for {arch}"),
        );
    } else if check.domain.devices.serials.is_empty() {
        let message = "<bios useserial='yes'> needs at least one serial port".to_owned();
        check.error_with_hint(&os.span, message, "add <serial type='pty'/>");
    }
}

/// Checks `<firmware>`, whose features choose the firmware, as libvirt's `virDomainDefOSValidate`
/// does.
fn check_features(check: &mut Check<'_>) {
    let os = &check.domain.os;
    let Some(features) = &os.features else { return };
    if os.firmware.is_none() && !features.features.is_empty() {
        let message = "<firmware> chooses among firmwares, but <os> asks for no choice".to_owned();
        check.error_with_hint(&os.span, message, "set <os firmware='efi'>");
    }

    let secure_boot = features.wish(FirmwareFeatureName::SecureBoot);
    let enrolled_keys = features.wish(FirmwareFeatureName::EnrolledKeys);
    if secure_boot == Some(false) && enrolled_keys == Some(true) {
        let message = "the feature 'enrolled-keys' of <firmware> needs 'secure-boot', which is off"
            .to_owned();
        check.error_with_hint(&os.span, message, "enable both or neither");
    }
}

/// Checks that `<varstore>` stands alone, with firmware in read-only memory.
fn check_varstore(check: &mut Check<'_>) {
    let os = &check.domain.os;
    let Some(varstore) = &os.varstore else { return };
    let kind = os.loader.as_ref().and_then(|loader| loader.kind);
    let has_firmware = os.firmware == Some(Firmware::Efi) || os.loader.is_some();
    let (message, hint) = if os.nvram.is_some() {
        (
            "<varstore> and <nvram> both keep the variables of the firmware",
            "leave one of them out",
        )
    } else if kind == Some(LoaderType::Pflash) {
        (
            "<varstore> is for firmware in read-only memory only",
            "set <loader type='rom'>, or give an <nvram>",
        )
    } else if !has_firmware {
        (
            "<varstore> needs firmware that uses it",
            "set <os firmware='efi'>, or name the firmware with <loader type='rom'>",
        )
    } else {
        return;
    };
    check.error_with_hint(&varstore.span, message.to_owned(), hint);
}

/// Checks that `<nvram>` and `<loader>` agree on where the firmware keeps its variables.
fn check_nvram(check: &mut Check<'_>) {
    let os = &check.domain.os;
    if let Some(nvram) = os
        .nvram
        .as_ref()
        .filter(|_| os.firmware == Some(Firmware::Bios))
    {
        let message = "<os firmware='bios'> keeps no variables, but an <nvram> is given".to_owned();
        check.error_with_hint(&nvram.span, message, "leave <nvram> out");
    }

    let Some(loader) = &os.loader else { return };
    if loader.stateless == Some(false) && loader.kind == Some(LoaderType::Rom) {
        let message =
            "<loader stateless='no'>: only firmware in flash memory keeps variables in <nvram>"
                .to_owned();
        check.error_with_hint(&os.span, message, "set <loader type='pflash'>");
    }

    if loader.readonly == Some(false) && loader.stateless == Some(false) {
        let message =
            "<loader readonly='no' stateless='no'>: only read-only firmware keeps variables apart";
        check.error_with_hint(
            &os.span,
            message.to_owned(),
            "leave one of the attributes out",
        );
    }

    if let Some(nvram) = os.nvram.as_ref().filter(|_| loader.readonly == Some(false)) {
        let message =
            "<loader readonly='no'> keeps its variables itself, but an <nvram> is given".to_owned();
        check.error_with_hint(&nvram.span, message, "leave one of them out");
    }

    if let Some(nvram) = os.nvram.as_ref().filter(|_| loader.stateless == Some(true)) {
        let given = if nvram.template.is_some() {
            "an <nvram> with a template"
        } else {
            "an <nvram>"
        };
        let message = format!("<loader stateless='yes'> keeps nothing, but {given} is given");
        check.error_with_hint(&nvram.span, message, "leave one of them out");
    }
}

/// Checks that secure boot has System Management Mode: only its code can write the variables.
///
/// A domain that asks for a choice of its firmware needs no `<smm>`: the choice switches it on
/// (libvirt's `qemuValidateDomainDefBoot`).
fn check_secure(check: &mut Check<'_>) {
    let os = &check.domain.os;
    let Some(loader) = &os.loader else { return };
    if loader.secure != Some(true) {
        return;
    }
    let smm = check
        .domain
        .features
        .as_ref()
        .and_then(|features| features.smm.as_ref());
    if check.machine.board != Board::Q35 {
        let name = &check.machine.name;
        check.error(
            &os.span,
            format!("<loader secure='yes'> is for the machine 'q35' only, not for '{name}'"),
        );
    } else if os.firmware.is_none() && smm.is_none_or(|smm| smm.state == Some(OnOff::Off)) {
        let message = "<loader secure='yes'> needs the feature <smm>".to_owned();
        check.error_with_hint(
            &os.span,
            message,
            "add <features><smm state='on'/></features>",
        );
    }
}

/// Checks the boot order of the devices.
fn check_boot(check: &mut Check<'_>) {
    let domain = check.domain;
    let devices = &domain.devices;
    let orders = devices.boot_orders();
    if !orders.is_empty() && !domain.os.boot.is_empty() {
        let message =
            "<boot order='…'> of devices cannot be used together with <boot dev='…'/> of <os>";
        check.error_with_hint(&domain.os.span, message.into(), "leave one of them out");
    }

    for (order, item) in &orders {
        if *order == 0 {
            check.error(
                &span_of(devices.info(*item)),
                "the boot order must be 1 or more".into(),
            );
        }
    }

    for (first, second) in duplicates(orders.iter().map(|(order, item)| (*order, (*order, *item))))
    {
        let message = format!(
            "boot order {} is used twice: by {} and by {}",
            first.0,
            devices.describe(first.1),
            devices.describe(second.1)
        );
        check.error(&span_of(devices.info(second.1)), message);
    }
}
