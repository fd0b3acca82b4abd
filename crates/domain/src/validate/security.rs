//! Confidential guests and wrapped keys, which only some machines support.

use super::check::Check;
use crate::model::domain::VirtType;
use crate::model::os::Arch;
use crate::model::security::LaunchSecurityType;
use crate::platform::Board;

pub(super) fn check(check: &mut Check<'_>) {
    let domain = check.domain;
    let arch = check.machine.arch;
    if domain.keywrap.is_some() && arch != Arch::S390x {
        check.error(
            &domain.place_of("keywrap"),
            format!("<keywrap> is for s390x only, not for {arch}"),
        );
    }

    let Some(security) = &domain.launch_security else {
        return;
    };
    let Some(kind) = security.kind else { return };
    let (fits, only) = match kind {
        LaunchSecurityType::Sev | LaunchSecurityType::SevSnp => (arch == Arch::X86_64, "x86_64"),
        LaunchSecurityType::Tdx => (check.machine.board == Board::Q35, "the machine 'q35'"),
        LaunchSecurityType::S390Pv => (arch == Arch::S390x, "s390x"),
    };
    if !fits {
        let name = &check.machine.name;
        check.error(
            &security.span,
            format!("<launchSecurity type='{kind}'> is for {only} only, not for '{name}'"),
        );
    } else if domain.kind != Some(VirtType::Kvm) {
        let message = format!("<launchSecurity type='{kind}'> needs <domain type='kvm'>");
        check.error(&security.span, message);
    }
}
