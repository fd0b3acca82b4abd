//! `<audio>`: where the guest's sound goes on the host.

use crate::xml::span::SourceSpan;
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// A host's sound system.
    pub enum AudioType {
        /// None: silence.
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
        /// The client of SPICE.
        Spice = "spice",
        /// A file.
        File = "file",
        /// The clients of D-Bus.
        Dbus = "dbus",
    }
}

words! {
    /// Format of a sample.
    pub enum AudioFormat {
        /// 8 bits with a sign.
        S8 = "s8",
        /// 8 bits.
        U8 = "u8",
        /// 16 bits with a sign.
        S16 = "s16",
        /// 16 bits.
        U16 = "u16",
        /// 32 bits with a sign.
        S32 = "s32",
        /// 32 bits.
        U32 = "u32",
        /// Floating point.
        F32 = "f32",
    }
}

words! {
    /// SDL's way to the sound card.
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

/// A way for sound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audio {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Number, from 1, by which sound cards name it.
    pub id: u32,
    /// The host's sound system.
    pub kind: Option<AudioType>,
    /// Microseconds between two looks at the sound card.
    pub timer_period: Option<u32>,
    /// Server of PulseAudio or JACK.
    pub server_name: Option<String>,
    /// SDL's way to the sound card.
    pub driver: Option<SdlDriver>,
    /// The file.
    pub path: Option<String>,
    /// Runtime folder of PipeWire.
    pub runtime_dir: Option<String>,
    /// Whether OSS's memory is mapped.
    pub try_mmap: Option<bool>,
    /// Whether OSS's device is opened alone.
    pub exclusive: Option<bool>,
    /// Latency policy of OSS, 0 to 10.
    pub dsp_policy: Option<u32>,
    /// Sound from the host.
    pub input: Option<AudioSide>,
    /// Sound to the host.
    pub output: Option<AudioSide>,
}

/// `<input>` or `<output>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AudioSide {
    /// Whether the emulator mixes streams.
    pub mixing_engine: Option<bool>,
    /// Whether the emulator sets the card's rate, format and channels.
    pub fixed_settings: Option<bool>,
    /// Streams at once.
    pub voices: Option<u32>,
    /// Microseconds that are kept.
    pub buffer_length: Option<u32>,
    /// Device of the host.
    pub dev: Option<String>,
    /// Times that OSS's device is opened again on errors.
    pub try_poll: Option<bool>,
    /// Fragments of OSS or Core Audio.
    pub buffer_count: Option<u32>,
    /// Name of PulseAudio's device.
    pub name: Option<String>,
    /// Name of the stream.
    pub stream_name: Option<String>,
    /// Microseconds of delay that are wanted.
    pub latency: Option<u32>,
    /// JACK's client.
    pub client_name: Option<String>,
    /// JACK's ports, by pattern.
    pub connect_ports: Option<String>,
    /// Whether JACK's name must be the client's own.
    pub exact_name: Option<bool>,
    /// Rate, format and channels of the card.
    pub settings: Option<AudioSettings>,
}

/// `<settings>`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AudioSettings {
    /// Samples a second.
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
