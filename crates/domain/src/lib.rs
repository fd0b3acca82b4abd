//! A domain: what a guest is made of, in libvirt's domain XML.
//!
//! Three separate passes, none of which does I/O or knows an emulator:
//! - [`Domain::parse`] reads the XML. What it does not understand is an error that names it.
//! - [`Domain::complete`] fills in what was left out: controllers, aliases, PCI addresses,
//!   defaults. What an architecture and machine type have comes from a [`Platform`].
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
mod bounded;
mod clock;
mod complete;
mod cpu;
mod cputune;
pub mod device;
mod domain;
mod emulator;
mod error;
mod features;
mod hyperv;
mod idset;
mod iommufd;
mod iothreads;
mod limits;
mod memory;
mod numa;
mod numatune;
mod nvram;
mod os;
mod platform;
mod power;
mod reading;
mod security;
mod sysinfo;
mod uuid;
mod validate;
mod vcpu;
mod xml;

pub use clock::{
    Catchup, Clock, ClockBasis, ClockOffset, TickPolicy, Timer, TimerName, TimerTrack, TscMode,
};
pub use cpu::{
    Cpu, CpuCache, CpuCacheMode, CpuCheck, CpuFeature, CpuMatch, CpuMode, CpuModel, FeaturePolicy,
    Maxphysaddr, MaxphysaddrMode, Topology,
};
pub use cputune::{Cachetune, Cputune, Iothreadpin, Memorytune, Sched, Scheduler, Vcpupin};
pub use device::Devices;
pub use domain::{CrashAction, Domain, Genid, LifecycleAction, LockFailureAction, VirtType};
pub use emulator::{
    DeprecationBehavior, DeviceOverride, EmulatorCapabilities, EmulatorCommandline,
    EmulatorOverride, EmulatorVariable, Frontend, Property, PropertyType, PropertyValue,
};
pub use error::{Error, Errors, Note};
pub use features::{
    Aia, AiaValue, Apic, AsyncTeardown, DirtyRing, Features, Gic, GicVersion, Hpt, HptResizing,
    Ioapic, IoapicDriver, Kvm, Mitigation, MitigationValue, Msrs, Smm, State, Tcg, Toggle,
    UnknownMsrs,
};
pub use hyperv::{Hyperv, HypervMode, Spinlocks, Stimer, Tlbflush, VendorId};
pub use idset::IdSet;
pub use iommufd::{Backend, DomainIommufd, IommufdObject};
pub use iothreads::{DefaultIothread, Iothread, Iothreadids, Poll};
pub use limits::{Blkiotune, Idmap, Memtune, Perf, Resource};
pub use memory::{
    Access, Allocation, AllocationMode, HugepageSize, Hugepages, MaxMemory, Memory, MemoryBacking,
    MemorySource,
};
pub use numa::{
    AccessType, Associativity, Bandwidth, Cell, CellCache, Distances, Interconnects, Latency, Numa,
    Route, Sibling, WritePolicy,
};
pub use numatune::{Memnode, MemoryMode, MemoryTune, Numatune};
pub use nvram::{Nvram, NvramHost, NvramProtocol, NvramSource, NvramType};
pub use os::{
    AcpiTable, AcpiTableType, AcpiTables, Arch, Bios, BootDevice, BootMenu, Firmware,
    FirmwareFeature, FirmwareFeatureName, FirmwareFeatures, FirmwareFormat, Loader, LoaderType, Os,
    OsType, RebootTimeout, SmbiosMode,
};
pub use platform::{Board, Machine, Platform};
pub use power::{Pm, Suspend};
pub use reading::{Examination, Reading};
pub use security::{
    Cipher, CipherName, Keywrap, LaunchSecurity, LaunchSecurityType, QuoteGenerationService,
    Seclabel, SeclabelType,
};
pub use sysinfo::{Entry, FwcfgEntry, OemString, OemStrings, Sysinfo, SysinfoType, Table};
pub use uuid::Uuid;
pub use vcpu::{Placement, SingleVcpu, Vcpu, Vcpus};
pub use xml::describe::{Description, Values};
pub use xml::place::Place;
