//! Features of the machine that only some machines have.

use super::check::Check;
use crate::model::domain::VirtType;
use crate::model::features::Features;
use crate::model::os::Arch;
use crate::model::toggle::OnOff;
use crate::platform::Board;

/// The architectures that have these features.
const X86: &str = "x86";
/// The only machine that has these features. No supported architecture has it.
const PSERIES: &str = "ppc64's machine 'pseries'";

pub(super) fn check(check: &mut Check<'_>) {
    let Some(features) = &check.domain.features else {
        return;
    };
    for (feature, only) in misplaced(check, features) {
        let name = &check.machine.name;
        let arch = check.machine.arch;
        let message =
            format!("the feature <{feature}> is for {only} only, not for '{name}' of {arch}");
        let element = feature.trim_end_matches(" eoi=…");
        let place = check.domain.place_of(&format!("features/{element}"));
        check.error(&place, message);
    }

    check_smm(check, features);
    check_accelerators(check, features);
}

/// Returns the features that this machine does not have, each with the machines that have it.
fn misplaced(check: &Check<'_>, features: &Features) -> Vec<(&'static str, &'static str)> {
    let machine = check.machine;
    let x86 = matches!(machine.arch, Arch::X86_64 | Arch::I686);
    let arm_virt = machine.board == Board::Virt && machine.arch == Arch::Aarch64;
    let all = [
        (
            "gic",
            features.gic.is_some() && !arm_virt,
            "aarch64's machine 'virt'",
        ),
        (
            "ras",
            features.ras.is_some() && !arm_virt,
            "aarch64's machine 'virt'",
        ),
        ("aia", features.aia.is_some(), "riscv64's machine 'virt'"),
        ("ioapic", features.ioapic.is_some() && !x86, X86),
        ("vmport", features.vmport.is_some() && !x86, X86),
        (
            "apic eoi=…",
            features
                .apic
                .as_ref()
                .is_some_and(|apic| apic.eoi.is_some())
                && !x86,
            X86,
        ),
        ("ps2", features.ps2.is_some() && !x86, X86),
        ("pvspinlock", features.pvspinlock.is_some() && !x86, X86),
        (
            "hyperv",
            features.hyperv.is_some() && !x86 && machine.arch != Arch::Aarch64,
            "x86 and aarch64",
        ),
        (
            "smm",
            features.smm.is_some() && machine.board != Board::Q35,
            "the machine 'q35'",
        ),
        ("hpt", features.hpt.is_some(), PSERIES),
        ("htm", features.htm.is_some(), PSERIES),
        ("nested-hv", features.nested_hv.is_some(), PSERIES),
        ("ccf-assist", features.ccf_assist.is_some(), PSERIES),
        ("cfpc", features.cfpc.is_some(), PSERIES),
        ("sbbc", features.sbbc.is_some(), PSERIES),
        ("ibs", features.ibs.is_some(), PSERIES),
    ];
    all.into_iter()
        .filter(|(_, wrong, _)| *wrong)
        .map(|(feature, _, only)| (feature, only))
        .collect()
}

/// Checks the size of the memory of System Management Mode.
fn check_smm(check: &mut Check<'_>, features: &Features) {
    let Some(smm) = &features.smm else { return };
    let Some(tseg) = smm.tseg else { return };
    let span = &check.domain.place_of("features/smm");
    if smm.state == Some(OnOff::Off) {
        check.error(span, "<tseg> needs the feature <smm>, which is off".into());
    }
    if tseg.bytes() % (1 << 20) != 0 {
        check.error(
            span,
            "the size of <tseg> must be a whole number of MiB".into(),
        );
    }
}

/// Checks the features that need KVM or QEMU's translator (TCG).
fn check_accelerators(check: &mut Check<'_>, features: &Features) {
    let span = &check.domain.place_of("features/kvm");
    let ring = features
        .kvm
        .as_ref()
        .and_then(|kvm| kvm.dirty_ring.as_ref());
    if check.domain.kind == Some(VirtType::Kvm) {
        if features.tcg.is_some() {
            check.error(
                &check.domain.place_of("features/tcg"),
                "the feature <tcg> is for <domain type='qemu'> only".into(),
            );
        }
    } else if ring.is_some_and(|ring| ring.state == Some(OnOff::On)) {
        check.error(
            span,
            "the KVM feature <dirty-ring> needs <domain type='kvm'>".into(),
        );
    }

    if ring.is_some_and(|ring| ring.state == Some(OnOff::On) && ring.size.is_none()) {
        check.error(span, "the KVM feature <dirty-ring> needs a 'size'".into());
    }
}
