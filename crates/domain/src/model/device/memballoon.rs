//! `<memballoon>`: a device that takes memory back from the guest.

use super::Info;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Model of a memory balloon.
    pub enum MemballoonModel {
        /// virtio-balloon.
        Virtio = "virtio",
        /// Virtio 0.9 and 1.0.
        Transitional = "virtio-transitional",
        /// Virtio 1.0 alone.
        NonTransitional = "virtio-non-transitional",
        /// None at all.
        None = "none",
    }
}

/// The memory balloon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memballoon {
    /// Alias and address.
    pub info: Info,
    /// Model.
    pub model: Option<MemballoonModel>,
    /// Whether it gives memory back before the guest runs out of it.
    pub autodeflate: Option<bool>,
    /// Whether the guest reports free pages.
    pub free_page_reporting: Option<bool>,
    /// Seconds between two statistics.
    pub stats_period: Option<u32>,
    /// Options of a virtio device.
    pub driver: Option<VirtioOptions>,
}

impl Element for Memballoon {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("model", &mut self.model);
        v.on_off("autodeflate", &mut self.autodeflate);
        v.on_off("freePageReporting", &mut self.free_page_reporting);
        v.child_word("stats", "period", &mut self.stats_period);
        self.info.visit(v);
        v.child("driver", &mut self.driver);
        if self.model.is_none() {
            v.error("<memballoon> needs the attribute 'model'".into());
        }
    }
}

impl Memballoon {
    /// Returns the model as one of virtio; nothing where there is no balloon.
    pub const fn virtio(&self) -> Option<VirtioModel> {
        match self.model {
            None | Some(MemballoonModel::None) => None,
            Some(MemballoonModel::Virtio) => Some(VirtioModel::Virtio),
            Some(MemballoonModel::Transitional) => Some(VirtioModel::Transitional),
            Some(MemballoonModel::NonTransitional) => Some(VirtioModel::NonTransitional),
        }
    }
}
