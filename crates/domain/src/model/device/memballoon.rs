//! `<memballoon>`: a device that takes memory from the guest and gives it back.

use super::Info;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The model of a memory balloon.
    pub enum MemballoonModel {
        /// virtio-balloon.
        Virtio = "virtio",
        /// virtio-balloon with the legacy and the modern interface.
        Transitional = "virtio-transitional",
        /// virtio-balloon with the modern interface only.
        NonTransitional = "virtio-non-transitional",
        /// No balloon.
        None = "none",
    }
}

/// The memory balloon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memballoon {
    /// Alias and address of the device.
    pub info: Info,
    /// Model.
    pub model: Option<MemballoonModel>,
    /// Release of memory before the guest runs out of it.
    pub autodeflate: Option<bool>,
    /// Reports of free pages by the guest.
    pub free_page_reporting: Option<bool>,
    /// Seconds between two statistics.
    pub stats_period: Option<u32>,
    /// Options of the virtio device.
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
    /// Returns the virtio model, or `None` for a guest without a balloon.
    pub const fn virtio(&self) -> Option<VirtioModel> {
        match self.model {
            None | Some(MemballoonModel::None) => None,
            Some(MemballoonModel::Virtio) => Some(VirtioModel::Virtio),
            Some(MemballoonModel::Transitional) => Some(VirtioModel::Transitional),
            Some(MemballoonModel::NonTransitional) => Some(VirtioModel::NonTransitional),
        }
    }
}
