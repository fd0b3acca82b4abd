//! `<audio>`: outputs of the guest's sound on the host (`-audiodev`).

use passthru_domain::Domain;
use passthru_domain::device::audio::{Audio, AudioSide, AudioType};

use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    Ok(context
        .domain
        .devices
        .audios
        .iter()
        .map(|audio| Opt::json("-audiodev", device(audio)))
        .collect())
}

/// Returns the number of the audio output of devices that name none.
pub(crate) fn first(context: &Context<'_>) -> u32 {
    context
        .domain
        .devices
        .audios
        .first()
        .map_or(1, |audio| audio.id)
}

/// Returns the variables that name SDL's sound driver and the folder of PipeWire's socket.
///
/// QEMU has no option for them, so libvirt sets them too (`qemuBuildAudioCommandLine`).
pub(crate) fn environment(domain: &Domain) -> Vec<(String, String)> {
    domain.devices.audios.iter().filter_map(variable).collect()
}

fn variable(audio: &Audio) -> Option<(String, String)> {
    match audio.kind? {
        AudioType::Sdl => {
            let driver = audio.driver?;
            Some(("SDL_AUDIODRIVER".to_owned(), driver.to_string()))
        }
        AudioType::Pipewire => {
            let folder = audio.runtime_dir.clone()?;
            Some(("PIPEWIRE_RUNTIME_DIR".to_owned(), folder))
        }
        _ => None,
    }
}

fn device(audio: &Audio) -> Object {
    let kind = audio.kind.unwrap_or(AudioType::None);
    let device = Object::default()
        .with("id", format!("audio{}", audio.id))
        .with("driver", driver(kind))
        .maybe("timer-period", audio.timer_period);
    let device = match kind {
        AudioType::Oss => device
            .maybe("try-mmap", audio.try_mmap)
            .maybe("exclusive", audio.exclusive)
            .maybe("dsp-policy", audio.dsp_policy),
        AudioType::Pulseaudio => device.maybe("server", audio.server_name.clone()),
        AudioType::File => device.maybe("path", audio.path.clone()),
        _ => device,
    };
    let sides = [("in", &audio.input), ("out", &audio.output)];
    sides.into_iter().fold(device, |device, (key, side)| {
        device.maybe(key, side.as_ref().map(|side| self::side(kind, audio, side)))
    })
}

/// Returns QEMU's name of a sound system of the host.
const fn driver(kind: AudioType) -> &'static str {
    match kind {
        AudioType::Pulseaudio => "pa",
        AudioType::File => "wav",
        other => other.as_str(),
    }
}

fn side(kind: AudioType, audio: &Audio, side: &AudioSide) -> Object {
    let common = Object::default()
        .maybe("mixing-engine", side.mixing_engine)
        .maybe("fixed-settings", side.fixed_settings)
        .maybe("voices", side.voices)
        .maybe("buffer-length", side.buffer_length);
    let common = match side.settings {
        None => common,
        Some(settings) => common
            .maybe("frequency", settings.frequency)
            .maybe("channels", settings.channels)
            .maybe("format", settings.format.map(|format| format.as_str())),
    };
    match kind {
        AudioType::Alsa => common.maybe("dev", side.dev.clone()),
        AudioType::Oss => common
            .maybe("dev", side.dev.clone())
            .maybe("buffer-count", side.buffer_count)
            .maybe("try-poll", side.try_poll),
        AudioType::Coreaudio | AudioType::Sdl => common.maybe("buffer-count", side.buffer_count),
        AudioType::Pulseaudio | AudioType::Pipewire => common
            .maybe("name", side.name.clone())
            .maybe("stream-name", side.stream_name.clone())
            .maybe("latency", side.latency),
        AudioType::Jack => common
            .maybe("server-name", audio.server_name.clone())
            .maybe("client-name", side.client_name.clone())
            .maybe("connect-ports", side.connect_ports.clone())
            .maybe("exact-name", side.exact_name),
        _ => common,
    }
}
