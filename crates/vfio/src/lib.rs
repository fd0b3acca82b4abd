//! Linux VFIO devices, safe. It knows no hypervisor and no XML.

pub mod container;
pub mod device;
pub mod dma;
mod failed;
mod sys;

pub use failed::Failed;
