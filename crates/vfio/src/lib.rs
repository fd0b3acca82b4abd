//! Linux VFIO devices, safe: for VMMs and for drivers in user space. It knows no hypervisor and no XML.
//!
//! | | |
//! |---|---|
//! | [`device`] | a device: opened, bound, attached; regions, interrupts, resets, features, migration |
//! | [`container`] | mappings and the devices that reach them, the same for `iommufd` and `type1` |
//! | [`address_space`] | a guest's memory in containers, kept up to date by transactions |
//! | [`dma`] | IOVAs and buffers for a driver's own DMA |
//!
//! A handle keeps what it belongs to in the kernel, and goes before it; a step that fails gives the former state back
//! ([`Failed`]).

pub mod address_space;
mod barrier;
mod capability;
pub mod container;
pub mod device;
pub mod dma;
mod failed;
mod sys;

pub use capability::BadCapability;
pub use failed::Failed;
