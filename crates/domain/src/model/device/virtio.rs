//! Common attributes of virtio devices.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The generations of the virtio interface that a device on PCI has.
    pub enum VirtioModel {
        /// Chosen by the bus: modern only on PCI Express, both on a conventional bus.
        Virtio = "virtio",
        /// Legacy and modern interface, on a conventional bus.
        Transitional = "virtio-transitional",
        /// Modern interface only.
        NonTransitional = "virtio-non-transitional",
    }
}

/// The attributes of `<driver>` that every virtio device has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VirtioOptions {
    /// DMA through the virtual IOMMU (`iommu_platform`).
    pub iommu: Option<bool>,
    /// Address translation services (`ats`).
    pub ats: Option<bool>,
    /// Packed queues (`packed`).
    pub packed: Option<bool>,
    /// A page for each queue's doorbell (`page-per-vq`).
    pub page_per_vq: Option<bool>,
}

impl Element for VirtioOptions {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.on_off("iommu", &mut self.iommu);
        v.on_off("ats", &mut self.ats);
        v.on_off("packed", &mut self.packed);
        v.on_off("page_per_vq", &mut self.page_per_vq);
    }
}
