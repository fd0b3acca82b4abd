//! A guest in libvirt's domain XML: a model of its elements, and passes over the model.
//!
//! The passes are separate. None of them does I/O or knows an emulator:
//! - [`Domain::parse`] reads the XML. An unknown element or value is an error with its position.
//! - [`Domain::complete`] fills in absent parts: defaults, controllers, aliases, addresses. The
//!   defaults of a machine type come from a [`Platform`].
//! - [`Domain::validate`] returns an error for each part that cannot work.
//! - [`Domain::format`] writes the XML.
//!
//! [`Domain::plug`] and [`Domain::unplug`] give the domain of a running guest with or without the
//! devices of a [`DeviceDocument`].
//!
//! [`Domain`] is the root of the model. Types of an element stand in the module of that element,
//! such as [`clock::Timer`] or [`device::disk::DiskBus`].
//!
//! ```
//! use passthru_domain::Domain;
//! let xml = "<domain type='kvm'><name>vm</name><memory unit='GiB'>2</memory>\
//!            <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>";
//! let domain = Domain::parse(xml)?;
//! assert_eq!(domain.memory.map(|m| m.bytes()), Some(2 << 30));
//! assert!(domain.format().contains("<memory unit='KiB'>2097152</memory>"));
//! # Ok::<(), passthru_domain::Errors>(())
//! ```

#![forbid(unsafe_code)]

mod attach;
mod bounded;
mod complete;
mod error;
mod model;
mod parse;
mod place;
mod platform;
mod validate;
mod xml;

pub use attach::{DeviceDocument, Plugged, Unplugged};
pub use error::{Error, Errors, Note};
pub use model::assigned_function::{AssignedFunction, FunctionOwner};
pub use model::backend::{Backend, IommufdObject};
pub use model::descriptor::{Descriptor, DescriptorName};
pub use model::device::Devices;
pub use model::domain::{Domain, Genid, VirtType};
pub use model::idset::IdSet;
pub use model::memory::Memory;
pub use model::os::Arch;
pub use model::password::Password;
pub use model::utc_time::UtcTime;
pub use model::uuid::Uuid;
pub use model::{
    clock, cpu, cputune, device, emulator, features, firmware, hyperv, iommufd, iothreads,
    lifecycle, memory, numa, numatune, nvram, os, power, resources, security, sysinfo, toggle,
    vcpu,
};
pub use parse::{Examination, ParsedDomain};
pub use platform::{Board, FirmwareChoice, FirmwareMapping, Machine, Platform};
pub use xml::describe::{Description, Values};
pub use xml::passwords::Passwords;
pub use xml::span::SourceSpan;
