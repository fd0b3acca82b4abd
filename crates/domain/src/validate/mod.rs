//! Validation of a completed domain: finds every setting that cannot work.
//!
//! Each error points to its part of the source; many give advice. Errors of the text itself, such
//! as unknown words and missing parts, come from parsing. Limits of the host and of the emulator at
//! hand are not checked here.

mod addresses;
mod boot;
mod chardevs;
mod check;
mod clock;
mod controllers;
mod cpu;
mod disk_identity;
mod disk_types;
mod disks;
mod domain;
mod features;
mod hostdev_types;
mod hostdevs;
mod ids;
mod inputs;
mod interfaces;
mod iommus;
mod iothreads;
mod memory;
mod memory_addresses;
mod notes;
mod numa;
mod nvme_disks;
mod passwords;
mod pci;
mod pci_targets;
mod peripherals;
mod security;
mod shared_memory;
mod spice;
mod sysinfo;

pub(crate) use boot::has_sound_firmware;
pub(crate) use domain::check;
pub(crate) use notes::notes;
