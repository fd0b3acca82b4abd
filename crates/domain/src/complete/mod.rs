//! Completion of a domain: fills in everything that the user left out, as libvirt does.
//!
//! The same input gives the same domain, since no value is random. A missing UUID is derived from
//! the name. A missing MAC address is derived from the UUID and the card's number. A guest thus
//! keeps both from one start to the next.

pub(crate) mod aliases;
mod chardevs;
mod controllers;
mod cpu;
mod defaults;
pub(crate) mod disks;
mod domain;
mod firmware;
pub(crate) mod hostdevs;
pub(crate) mod identity;
mod iommus;
mod iothreads;
mod memory;
mod missing_controllers;
mod peripherals;
mod usb;
mod virtio_ports;
