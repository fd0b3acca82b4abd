//! Linux VFIO devices, safe. It knows no hypervisor and no XML.
//!
//! So far what a manager needs that opens a device for somebody else: its character device.

pub mod container;
pub mod device;
pub mod dma;
mod sys;
