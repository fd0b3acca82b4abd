//! The base container: DMA mappings and the devices that reach them, the same for both backends. Whoever maps memory sees
//! [`Dma`] alone; whoever has devices, [`Container`].
//!
//! | | `iommufd` | `type1` |
//! |---|---|---|
//! | stands on | an address space of `/dev/iommu` ([`Ioas`]) | `/dev/vfio/vfio` |
//! | a device is | a character device, bound and attached | a member of an IOMMU group, `/dev/vfio/GROUP` |
//! | mappings | stay without devices | go with the last device |
//! | dirty pages | from page tables of the IOMMU | every mapped page counts as written to |
//! | cannot | | map files, attach to page tables and PASIDs, take a passed device, copy mappings |
//!
//! ```no_run
//! use passthru_vfio::container::{self, Access, Attach, Container, Dma};
//! use passthru_vfio::device::Source;
//!
//! let device = Source::Pci("0000:00:10.0".parse()?);
//! let choice = container::open(&container::Options::default(), &[device.locate()?])?;
//! println!("{choice}");
//! let member = choice.container.attach(device.into(), Attach::default())?;
//! println!("{:?}, {:?}", member.device().info()?, choice.container.iova_ranges()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod capabilities;
mod choice;
mod dirty;
mod dma;
mod error;
mod iommufd;
mod kvm;
mod member;
mod tables;
mod type1;

pub use capabilities::{Backend, BarMapping, Capabilities};
pub use choice::{Choice, Options, Policy, Why, open};
pub use dma::Dma;
pub use error::{Blocker, Error};
pub use iommufd::IommufdContainer;
pub use kvm::KvmVfio;
pub use member::{Attach, Candidate, Container, HotResetProof, Member};
pub use passthru_iommufd::{Access, Ioas, IovaRanges};
pub use type1::{Dirty, Group, Info, Type1Container};
