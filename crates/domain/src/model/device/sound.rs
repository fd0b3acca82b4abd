//! `<sound>`: sound cards.

use super::Info;
use super::virtio::VirtioOptions;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Model of a sound card.
    pub enum SoundModel {
        /// Sound Blaster 16, on ISA.
        Sb16 = "sb16",
        /// Ensoniq ES1370.
        Es1370 = "es1370",
        /// The PC's own speaker.
        Pcspk = "pcspk",
        /// Intel 82801AA (AC'97).
        Ac97 = "ac97",
        /// Intel HD Audio, ICH6.
        Ich6 = "ich6",
        /// Intel HD Audio, ICH7; no emulator here has it.
        Ich7 = "ich7",
        /// Intel HD Audio, ICH9.
        Ich9 = "ich9",
        /// On USB.
        Usb = "usb",
        /// virtio-sound.
        Virtio = "virtio",
    }
}

words! {
    /// What is behind an HD Audio controller.
    pub enum CodecType {
        /// Line in and out.
        Duplex = "duplex",
        /// Microphone and speaker.
        Micro = "micro",
        /// Line out.
        Output = "output",
    }
}

/// A sound card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sound {
    /// Alias and address.
    pub info: Info,
    /// Model.
    pub model: Option<SoundModel>,
    /// Whether a USB card has several channels.
    pub multichannel: Option<bool>,
    /// Number of streams of a virtio card.
    pub streams: Option<u32>,
    /// What is behind an HD Audio controller.
    pub codecs: Vec<CodecType>,
    /// The way for sound that it goes.
    pub audio: Option<u32>,
    /// Options of a virtio card.
    pub driver: Option<VirtioOptions>,
}

impl Element for Sound {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.yes_no("multichannel", &mut self.multichannel);
        v.attr("streams", &mut self.streams);
        v.children_word("codec", "type", &mut self.codecs);
        v.child_word("audio", "id", &mut self.audio);
        v.child("driver", &mut self.driver);
        self.info.visit(v);
        if self.model.is_none() {
            v.error("<sound> needs the attribute 'model'".into());
        }
    }
}
