//! A domain: what a guest is made of, in libvirt's domain XML.
//!
//! Three separate passes, none of which does I/O or knows an emulator:
//! - [`Domain::parse`] reads the XML. What it does not understand is an error that names it.
//! - [`Domain::complete`] fills in what was left out: controllers, aliases, PCI addresses, defaults.
//!   What an architecture and machine type have comes from a [`Platform`].
//! - [`Domain::validate`] says what cannot work.
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

mod address;
mod clock;
mod complete;
mod cpu;
pub mod device;
mod domain;
mod emulator;
mod error;
mod features;
mod iommufd;
mod memory;
mod nodeset;
mod os;
mod platform;
mod reading;
mod uuid;
mod validate;
mod vcpu;
mod xml;

pub use clock::{Clock, ClockOffset, Timer};
pub use cpu::{Cpu, CpuCheck, CpuFeature, CpuMatch, CpuMode, CpuModel, FeaturePolicy, Topology};
pub use device::Devices;
pub use domain::{CrashAction, Domain, LifecycleAction, VirtType};
pub use emulator::{
    DeprecationBehavior, DeviceOverride, EmulatorCapabilities, EmulatorCommandline, EmulatorOverride,
    EmulatorVariable, Frontend, Property, PropertyType, PropertyValue,
};
pub use error::{Error, Errors, Note};
pub use features::{Features, Gic, GicVersion, Ioapic, IoapicDriver, Kvm, State, Toggle};
pub use iommufd::{Backend, DomainIommufd, IommufdObject};
pub use memory::{Allocation, HugepageSize, Hugepages, Memory, MemoryBacking, MemorySource};
pub use os::{Arch, BootDevice, BootMenu, Firmware, Loader, LoaderType, Nvram, Os, OsType};
pub use platform::{Board, Machine, Platform};
pub use reading::{Examination, Reading};
pub use uuid::Uuid;
pub use vcpu::{Placement, Vcpu};
pub use xml::place::Place;
