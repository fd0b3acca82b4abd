//! `<audio>`: outputs of the guest's sound on the host.

use crate::xml::span::SourceSpan;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// A sound system of the host.
    pub enum AudioType {
        /// No sound.
        None = "none",
        /// ALSA.
        Alsa = "alsa",
        /// Core Audio of macOS.
        Coreaudio = "coreaudio",
        /// JACK.
        Jack = "jack",
        /// OSS.
        Oss = "oss",
        /// PulseAudio.
        Pulseaudio = "pulseaudio",
        /// PipeWire.
        Pipewire = "pipewire",
        /// SDL.
        Sdl = "sdl",
        /// The SPICE client.
        Spice = "spice",
        /// A WAV file.
        File = "file",
        /// The D-Bus clients.
        Dbus = "dbus",
    }
}

words! {
    /// The format of a sample.
    pub enum AudioFormat {
        /// 8 bits, signed.
        S8 = "s8",
        /// 8 bits, unsigned.
        U8 = "u8",
        /// 16 bits, signed.
        S16 = "s16",
        /// 16 bits, unsigned.
        U16 = "u16",
        /// 32 bits, signed.
        S32 = "s32",
        /// 32 bits, unsigned.
        U32 = "u32",
        /// Floating point.
        F32 = "f32",
    }
}

words! {
    /// SDL's sound driver.
    pub enum SdlDriver {
        /// EsounD.
        Esd = "esd",
        /// ALSA.
        Alsa = "alsa",
        /// aRts.
        Arts = "arts",
        /// PulseAudio.
        Pulseaudio = "pulseaudio",
    }
}

/// `<audio>`: an output of the guest's sound on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audio {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Number from 1, by which sound cards refer to the output.
    pub id: u32,
    /// Sound system of the host.
    pub kind: Option<AudioType>,
    /// Polling interval of the sound card in microseconds.
    pub timer_period: Option<u32>,
    /// Name of the PulseAudio or JACK server.
    pub server_name: Option<String>,
    /// SDL's sound driver.
    pub driver: Option<SdlDriver>,
    /// Path of the file.
    pub path: Option<String>,
    /// Runtime directory of PipeWire.
    pub runtime_dir: Option<String>,
    /// Memory-mapped access (OSS).
    pub try_mmap: Option<bool>,
    /// Exclusive access to the device (OSS).
    pub exclusive: Option<bool>,
    /// Latency policy, 0 to 10 (OSS).
    pub dsp_policy: Option<u32>,
    /// Settings for recording.
    pub input: Option<AudioSide>,
    /// Settings for playback.
    pub output: Option<AudioSide>,
}

/// `<input>` or `<output>`: settings of one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AudioSide {
    /// Mixing of streams by the emulator.
    pub mixing_engine: Option<bool>,
    /// Fixed rate, format and channels of the sound card.
    pub fixed_settings: Option<bool>,
    /// Number of simultaneous streams.
    pub voices: Option<u32>,
    /// Length of the buffer in microseconds.
    pub buffer_length: Option<u32>,
    /// Name of the host's device.
    pub dev: Option<String>,
    /// Attempts to reopen the device after an error (OSS).
    pub try_poll: Option<bool>,
    /// Number of buffer fragments (OSS, Core Audio).
    pub buffer_count: Option<u32>,
    /// Name of the device (PulseAudio).
    pub name: Option<String>,
    /// Name of the stream.
    pub stream_name: Option<String>,
    /// Wanted latency in microseconds.
    pub latency: Option<u32>,
    /// Name of the client (JACK).
    pub client_name: Option<String>,
    /// Pattern of the ports to connect to (JACK).
    pub connect_ports: Option<String>,
    /// Requirement that the client gets exactly its name (JACK).
    pub exact_name: Option<bool>,
    /// Fixed settings of the sound card.
    pub settings: Option<AudioSettings>,
}

/// `<settings>`: rate, format and channels of a sound card.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AudioSettings {
    /// Sample rate in Hz.
    pub frequency: Option<u32>,
    /// Number of channels.
    pub channels: Option<u32>,
    /// Format of a sample.
    pub format: Option<AudioFormat>,
}

impl Element for Audio {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.required("id", &mut self.id);
        v.attr("type", &mut self.kind);
        v.attr("timerPeriod", &mut self.timer_period);
        v.attr("serverName", &mut self.server_name);
        v.attr("driver", &mut self.driver);
        visit_as::<FilePath>(&mut self.path, |path| v.attr("path", path));
        visit_as::<FilePath>(&mut self.runtime_dir, |path| v.attr("runtimeDir", path));
        v.yes_no("tryMMap", &mut self.try_mmap);
        v.yes_no("exclusive", &mut self.exclusive);
        v.attr("dspPolicy", &mut self.dsp_policy);
        v.child("input", &mut self.input);
        v.child("output", &mut self.output);
        if self.kind.is_none() {
            v.error("<audio> needs the attribute 'type'".into());
        }
    }
}

impl Element for AudioSide {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("mixingEngine", &mut self.mixing_engine);
        v.yes_no("fixedSettings", &mut self.fixed_settings);
        v.attr("voices", &mut self.voices);
        v.attr("bufferLength", &mut self.buffer_length);
        v.attr("dev", &mut self.dev);
        v.yes_no("tryPoll", &mut self.try_poll);
        v.attr("bufferCount", &mut self.buffer_count);
        v.attr("name", &mut self.name);
        v.attr("streamName", &mut self.stream_name);
        v.attr("latency", &mut self.latency);
        v.attr("clientName", &mut self.client_name);
        v.attr("connectPorts", &mut self.connect_ports);
        v.yes_no("exactName", &mut self.exact_name);
        v.child("settings", &mut self.settings);
    }
}

impl Element for AudioSettings {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("frequency", &mut self.frequency);
        v.attr("channels", &mut self.channels);
        v.attr("format", &mut self.format);
    }
}
