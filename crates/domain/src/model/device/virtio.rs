//! What devices of virtio have in common: how they speak to their drivers in the guest.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Which generations of virtio's interface a device on PCI has.
    pub enum VirtioModel {
        /// What its place allows.
        Virtio = "virtio",
        /// The old one and the new one; a conventional device.
        Transitional = "virtio-transitional",
        /// The new one alone.
        NonTransitional = "virtio-non-transitional",
    }
}

/// The attributes of `<driver>` that every virtio device has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VirtioOptions {
    /// Whether the device goes through the virtual IOMMU (`iommu_platform`).
    pub iommu: Option<bool>,
    /// Whether it keeps translations of its own (`ats`).
    pub ats: Option<bool>,
    /// Whether queues are packed (`packed`).
    pub packed: Option<bool>,
    /// Whether each queue has its doorbell on a page of its own (`page-per-vq`).
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
