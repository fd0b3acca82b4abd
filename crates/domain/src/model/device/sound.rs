//! `<sound>`: sound cards.

use super::Info;
use super::virtio::VirtioOptions;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The model of a sound card.
    pub enum SoundModel {
        /// Sound Blaster 16 (ISA).
        Sb16 = "sb16",
        /// Ensoniq ES1370.
        Es1370 = "es1370",
        /// PC speaker.
        Pcspk = "pcspk",
        /// Intel 82801AA (AC'97).
        Ac97 = "ac97",
        /// Intel HD Audio, ICH6.
        Ich6 = "ich6",
        /// Intel HD Audio, ICH7; no supported emulator has it.
        Ich7 = "ich7",
        /// Intel HD Audio, ICH9.
        Ich9 = "ich9",
        /// USB sound card.
        Usb = "usb",
        /// virtio-sound.
        Virtio = "virtio",
    }
}

words! {
    /// The codec of an HD Audio controller.
    pub enum CodecType {
        /// Line in and out.
        Duplex = "duplex",
        /// Microphone and speaker.
        Micro = "micro",
        /// Line out.
        Output = "output",
    }
}

/// `<sound>`: a sound card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sound {
    /// Alias and address of the device.
    pub info: Info,
    /// Model.
    pub model: Option<SoundModel>,
    /// Multichannel mode of a USB card.
    pub multichannel: Option<bool>,
    /// Number of streams of a virtio card.
    pub streams: Option<u32>,
    /// Codecs of an HD Audio controller.
    pub codecs: Vec<CodecType>,
    /// Id of the `<audio>` for this card.
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
