//! The elements of a domain, each described once: the reader, the writer and the reference of the
//! XML follow that description.

pub(crate) mod assigned_function;
pub(crate) mod backend;
pub mod clock;
pub mod cpu;
pub mod cputune;
pub(crate) mod descriptor;
pub mod device;
pub(crate) mod domain;
pub mod emulator;
pub mod features;
pub mod firmware;
pub mod hyperv;
pub(crate) mod idset;
pub mod iommufd;
pub mod iothreads;
pub mod lifecycle;
pub mod memory;
pub mod numa;
pub mod numatune;
pub mod nvram;
pub mod os;
pub(crate) mod password;
pub mod power;
pub mod resources;
pub mod security;
pub mod sysinfo;
pub mod toggle;
pub(crate) mod utc_time;
pub(crate) mod uuid;
pub mod vcpu;
