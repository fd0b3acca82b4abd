//! Linux VFIO devices, safe. It knows no hypervisor and no XML.

pub mod address_space;
mod capability;
pub mod container;
pub mod device;
pub mod dma;
mod failed;
mod sys;

pub use capability::BadCapability;
pub use failed::Failed;
