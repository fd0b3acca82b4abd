//! `<memballoon>`: a device that takes memory back from the guest.

use super::Info;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Model of a memory balloon.
    pub enum MemballoonModel {
        /// virtio-balloon.
        Virtio = "virtio",
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
}

impl Element for Memballoon {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("model", &mut self.model);
        v.on_off("autodeflate", &mut self.autodeflate);
        v.on_off("freePageReporting", &mut self.free_page_reporting);
        v.child_word("stats", "period", &mut self.stats_period);
        self.info.visit(v);
        if self.model.is_none() {
            v.error("<memballoon> needs the attribute 'model'".into());
        }
    }
}
