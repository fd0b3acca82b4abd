//! The firmwares of Debian's and Fedora's packages, at their usual paths.
//!
//! The names and features are those of the packages' descriptors (`ovmf`, `qemu-efi-aarch64`,
//! `edk2-ovmf`, `edk2-aarch64`). Debian's come first, each distribution's in its own order.

use super::descriptor::FirmwareDescriptor;

const X86: &str = "x86_64";
const ARM: &str = "aarch64";
const Q35: &[&str] = &["pc-q35-*"];
const PC: &[&str] = &["pc-i440fx-*", "pc-q35-*"];
const VIRT: &[&str] = &["virt-*"];

const PLAIN: &[&str] = &["acpi-s3", "amd-sev", "verbose-dynamic"];
const SECURE: &[&str] = &["acpi-s3", "amd-sev", "requires-smm", "secure-boot"];
const ENROLLED: &[&str] = &[
    "acpi-s3",
    "amd-sev",
    "enrolled-keys",
    "requires-smm",
    "secure-boot",
];
const ARM_PLAIN: &[&str] = &["verbose-static"];
const ARM_SECURE: &[&str] = &["secure-boot", "verbose-static"];
const ARM_ENROLLED: &[&str] = &["enrolled-keys", "secure-boot", "verbose-static"];

/// A firmware of a package: name of the descriptor, architecture, machines, features, code,
/// template of the variables.
type Row = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("40-edk2-x86_64-secure-enrolled.json", X86, Q35, ENROLLED,
     "/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    ("50-edk2-x86_64-secure.json", X86, Q35, SECURE,
     "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("60-edk2-x86_64.json", X86, PC, PLAIN,
     "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("40-edk2-aarch64-secure-enrolled.json", ARM, VIRT, ARM_ENROLLED,
     "/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd"),
    ("50-edk2-aarch64-secure.json", ARM, VIRT, ARM_SECURE,
     "/usr/share/AAVMF/AAVMF_CODE.secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("60-edk2-aarch64.json", ARM, VIRT, ARM_PLAIN,
     "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    // Debian's firmware of 2 MiB has no descriptors: only a domain that names its code gets it.
    ("OVMF_CODE.ms.fd", X86, &[], &[],
     "/usr/share/OVMF/OVMF_CODE.ms.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"),
    ("OVMF_CODE.secboot.fd", X86, &[], &[],
     "/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("OVMF_CODE.fd", X86, &[], &[],
     "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    // Debian's other name of the same code, from version 13.
    ("60-edk2-aarch64.json", ARM, &[], &[],
     "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("30-edk2-ovmf-4m-qcow2-x64-sb-enrolled.json", X86, Q35, ENROLLED,
     "/usr/share/edk2/ovmf/OVMF_CODE_4M.secboot.qcow2",
     "/usr/share/edk2/ovmf/OVMF_VARS_4M.secboot.qcow2"),
    ("31-edk2-ovmf-2m-raw-x64-sb-enrolled.json", X86, Q35, ENROLLED,
     "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
    ("40-edk2-ovmf-4m-qcow2-x64-sb.json", X86, Q35, SECURE,
     "/usr/share/edk2/ovmf/OVMF_CODE_4M.secboot.qcow2", "/usr/share/edk2/ovmf/OVMF_VARS_4M.qcow2"),
    ("41-edk2-ovmf-2m-raw-x64-sb.json", X86, Q35, SECURE,
     "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("50-edk2-ovmf-4m-qcow2-x64-nosb.json", X86, PC, PLAIN,
     "/usr/share/edk2/ovmf/OVMF_CODE_4M.qcow2", "/usr/share/edk2/ovmf/OVMF_VARS_4M.qcow2"),
    ("51-edk2-ovmf-2m-raw-x64-nosb.json", X86, PC, PLAIN,
     "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("50-edk2-aarch64-qcow2.json", ARM, VIRT, &[],
     "/usr/share/edk2/aarch64/QEMU_EFI-silent-pflash.qcow2",
     "/usr/share/edk2/aarch64/vars-template-pflash.qcow2"),
    ("51-edk2-aarch64-raw.json", ARM, VIRT, &[],
     "/usr/share/edk2/aarch64/QEMU_EFI-silent-pflash.raw",
     "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
    ("52-edk2-aarch64-verbose-qcow2.json", ARM, VIRT, ARM_PLAIN,
     "/usr/share/edk2/aarch64/QEMU_EFI-pflash.qcow2",
     "/usr/share/edk2/aarch64/vars-template-pflash.qcow2"),
    ("53-edk2-aarch64-verbose-raw.json", ARM, VIRT, ARM_PLAIN,
     "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
     "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
];

/// A firmware in read-only memory: name of the descriptor, architecture, machines, features, code,
/// template of the variables that QEMU keeps.
type RomRow = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
    Option<&'static str>,
);

const SEV: &[&str] = &["amd-sev", "amd-sev-es", "amd-sev-snp"];
const TDX: &[&str] = &["intel-tdx"];
const STORE: &[&str] = &["host-uefi-vars", "secure-boot"];
const STORE_ENROLLED: &[&str] = &["enrolled-keys", "host-uefi-vars", "secure-boot"];

#[rustfmt::skip]
const ROM_ROWS: &[RomRow] = &[
    ("60-edk2-ovmf-x64-amdsev.json", X86, Q35, SEV, "/usr/share/edk2/ovmf/OVMF.amdsev.fd", None),
    ("60-edk2-ovmf-x64-inteltdx.json", X86, Q35, TDX,
     "/usr/share/edk2/ovmf/OVMF.inteltdx.fd", None),
    ("90-edk2-ovmf-qemuvars-x64-sb-enrolled.json", X86, Q35, STORE_ENROLLED,
     "/usr/share/edk2/ovmf/OVMF.qemuvars.fd", Some("/usr/share/edk2/ovmf/vars.secboot.json")),
    ("91-edk2-ovmf-qemuvars-x64-sb.json", X86, Q35, STORE,
     "/usr/share/edk2/ovmf/OVMF.qemuvars.fd", Some("/usr/share/edk2/ovmf/vars.blank.json")),
    ("90-edk2-aarch64-qemuvars-sb-enrolled.json", ARM, VIRT, STORE_ENROLLED,
     "/usr/share/edk2/aarch64/QEMU_EFI.qemuvars.fd",
     Some("/usr/share/edk2/aarch64/vars.secboot.json")),
    ("91-edk2-aarch64-qemuvars-sb.json", ARM, VIRT, STORE,
     "/usr/share/edk2/aarch64/QEMU_EFI.qemuvars.fd",
     Some("/usr/share/edk2/aarch64/vars.blank.json")),
];

/// Returns the firmwares in the order of preference.
pub(super) fn well_known() -> Vec<FirmwareDescriptor> {
    let mut descriptors = Vec::with_capacity(ROWS.len() + ROM_ROWS.len());
    for (name, architecture, machines, features, code, template) in ROWS {
        let descriptor = FirmwareDescriptor::for_flash(name, code, template);
        let descriptor = descriptor.for_target(architecture, machines);
        descriptors.push(descriptor.with_features(features));
    }

    for (name, architecture, machines, features, code, template) in ROM_ROWS {
        let descriptor = FirmwareDescriptor::for_memory(name, code, *template);
        let descriptor = descriptor.for_target(architecture, machines);
        descriptors.push(descriptor.with_features(features));
    }

    descriptors
}
