//! Passwords of screens.

use super::check::Check;
use super::notes;
use crate::error::Note;
use crate::model::device::Graphics;
use crate::model::device::graphics::{ConnectedPolicy, GraphicsType};

/// Longest password of VNC, in bytes: RFB's challenge is encrypted with a key of 8 bytes. libvirt
/// refuses a longer one (`qemuValidateDomainDeviceDefVNCGraphics`), and QEMU would cut it.
const MAX_VNC: usize = 8;

/// Longest password of SPICE, in bytes. The SPICE server keeps it in 60 bytes with a zero at the
/// end (`SPICE_MAX_PASSWORD_LENGTH`).
const MAX_SPICE: usize = 59;

/// Checks the password of a screen, and the handling of sessions when it is set.
pub(super) fn check(check: &mut Check<'_>, graphics: &Graphics) {
    let Some(given) = graphics.password() else {
        return;
    };
    let span = &graphics.span;
    let (name, limit) = match given.protocol {
        GraphicsType::Vnc => ("VNC", MAX_VNC),
        GraphicsType::Spice => ("SPICE", MAX_SPICE),
        _ => return,
    };
    let length = given.password.as_str().len();
    if length > limit {
        let message =
            format!("the {name} password has {length} bytes, and {name} permits at most {limit}");
        check.error_with_hint(span, message, "choose a shorter 'passwd'");
    }

    let is_kept = given
        .connected
        .is_none_or(|policy| policy == ConnectedPolicy::Keep);
    if given.protocol == GraphicsType::Vnc && !is_kept {
        check.error_with_hint(
            span,
            "VNC sessions continue when the password is set: 'connected' must be 'keep'".into(),
            "use connected='keep', or leave it out",
        );
    }
}

/// Notes an end of validity, or a handling of sessions, of a screen without a password. libvirt
/// ignores both then (`virDomainGraphicsAuthDefParseXML`).
pub(super) fn note(graphics: &Graphics) -> Option<Note> {
    if graphics.passwd.is_some() {
        return None;
    }
    let all = [
        ("passwdValidTo", graphics.passwd_valid_to.is_some()),
        ("connected", graphics.connected.is_some()),
    ];
    let reason = "without 'passwd', every client that reaches the screen gets in";
    notes::note("<graphics>", reason, &all, &graphics.span)
}
