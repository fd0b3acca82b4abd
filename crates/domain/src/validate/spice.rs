//! Sound and character devices that reach the client of a SPICE screen.

use super::chardevs::backend_of;
use super::check::{Check, span_of};
use crate::model::device::Item;
use crate::model::device::audio::AudioType;
use crate::model::device::chardev::CharSourceType;
use crate::model::device::graphics::GraphicsType;

/// Checks that a guest without a SPICE screen has no part that needs its client.
///
/// The emulator does not start with such a part. The rules are libvirt's
/// (`qemuValidateDomainChrSourceDef` and `qemuValidateDomainDeviceDefAudio`).
pub(super) fn check(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let mut screens = devices.graphics.iter();
    if screens.any(|screen| screen.kind == Some(GraphicsType::Spice)) {
        return;
    }

    for audio in &devices.audios {
        if audio.kind == Some(AudioType::Spice) {
            let message = format!(
                "audio {}: SPICE audio is not supported without SPICE graphics",
                audio.id
            );
            check.error_with_hint(
                &audio.span,
                message,
                "set another type, such as 'none', or add <graphics type='spice'/>",
            );
        }
    }

    for item in devices.items() {
        // The first console shares its place with the serial port that it stands for.
        let span = span_of(devices.info(item));
        if matches!(item, Item::Console(_)) && devices.serials.iter().any(|s| s.info.span == span) {
            continue;
        }
        let kind = backend_of(devices, item).and_then(|backend| backend.kind);
        let Some(kind @ (CharSourceType::Spicevmc | CharSourceType::Spiceport)) = kind else {
            continue;
        };
        let device = devices.describe(item);
        let message = format!("{device}: chardev '{kind}' is not supported without SPICE graphics");
        check.error_with_hint(
            &span,
            message,
            "remove the device, or add <graphics type='spice'/>",
        );
    }
}
