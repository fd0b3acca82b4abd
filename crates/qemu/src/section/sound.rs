//! `<sound>`: sound cards.

use passthru_domain::device::Sound;
use passthru_domain::device::sound::{CodecType, SoundModel};

use super::{audio, pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// Returns the audio output of the PC's speaker, which is a property of the machine.
pub(crate) fn speaker(context: &Context<'_>) -> Option<String> {
    let mut sounds = context.domain.devices.sounds.iter();
    sounds
        .find(|sound| sound.model == Some(SoundModel::Pcspk))
        .map(|sound| audiodev(context, sound))
}

fn audiodev(context: &Context<'_>, sound: &Sound) -> String {
    format!(
        "audio{}",
        sound.audio.unwrap_or_else(|| audio::first(context))
    )
}

/// Returns the options of a sound card; none for the PC's speaker.
pub(crate) fn device(context: &Context<'_>, sound: &Sound) -> Result<Vec<Opt>, Error> {
    let id = sound.info.id();
    let audiodev = audiodev(context, sound);
    let address = || pci::address(context, &sound.info);
    let plain = |driver: &str| {
        Object::driver(driver)
            .with("id", id)
            .with("audiodev", audiodev.as_str())
    };
    Ok(match sound.model {
        Some(SoundModel::Pcspk) | None => Vec::new(),
        Some(SoundModel::Sb16) => vec![Opt::device(plain("sb16"))],
        Some(SoundModel::Es1370) => vec![Opt::device(plain("ES1370").and(address()?))],
        Some(SoundModel::Ac97) => vec![Opt::device(plain("AC97").and(address()?))],
        Some(SoundModel::Usb) => {
            vec![Opt::device(
                plain("usb-audio")
                    .maybe("multi", sound.multichannel)
                    .and(address()?),
            )]
        }
        Some(SoundModel::Virtio) => {
            let device = virtio::device("virtio-sound", None, sound.driver, &sound.info)?
                .with("id", id)
                .maybe("streams", sound.streams)
                .with("audiodev", audiodev)
                .and(address()?);
            vec![Opt::device(device)]
        }
        Some(SoundModel::Ich6) => hd_audio("intel-hda", sound, &audiodev, address()?),
        Some(SoundModel::Ich9) => hd_audio("ich9-intel-hda", sound, &audiodev, address()?),
        Some(SoundModel::Ich7) => return Err(Error::unsupported("a sound card of model 'ich7'")),
    })
}

/// Returns a controller with what is behind it.
fn hd_audio(driver: &str, sound: &Sound, audiodev: &str, address: Object) -> Vec<Opt> {
    let id = sound.info.id();
    let usual = [CodecType::Duplex];
    let codecs = if sound.codecs.is_empty() {
        &usual[..]
    } else {
        &sound.codecs
    };
    let codecs = (0u32..).zip(codecs).map(|(n, codec)| {
        let device = Object::driver(format!("hda-{codec}"))
            .with("id", format!("{id}-codec{n}"))
            .with("bus", format!("{id}.0"))
            .with("cad", n)
            .with("audiodev", audiodev);
        Opt::device(device)
    });
    [Opt::device(
        Object::driver(driver).with("id", id).and(address),
    )]
    .into_iter()
    .chain(codecs)
    .collect()
}
