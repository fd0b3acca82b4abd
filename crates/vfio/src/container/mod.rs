//! Containers: DMA mappings and the devices that reach them, by one of two kernel interfaces.
//!
//! Code that maps memory needs only [`Dma`]; code that attaches devices needs [`Container`].
//!
//! | | `iommufd` | `type1` |
//! |---|---|---|
//! | container | an I/O address space of `/dev/iommu` ([`Ioas`]) | an open `/dev/vfio/vfio` |
//! | device | `/dev/vfio/devices/vfioN`, bound and attached | a member of `/dev/vfio/GROUP` |
//! | mappings | exist with or without devices | end with the last device |
//! | dirty pages | from the page tables of the IOMMU | every mapped page counts as dirty |
//! | missing | | maps of files, page tables, PASIDs, passed descriptors, copies of mappings |
//!
//! ```no_run
//! use passthru_vfio::container::{self, Access, AttachOptions, Container, Dma};
//! use passthru_vfio::device::Source;
//!
//! let device = Source::Pci("0000:00:10.0".parse()?);
//! let choice = container::open(&container::Options::default(), &[device.locate()?])?;
//! println!("{choice}");
//! let member = choice.container.attach(device.into(), AttachOptions::default())?;
//! println!("{:?}, {:?}", member.device().info()?, choice.container.iova_ranges()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bitmap;
mod blocker;
mod candidate;
mod capabilities;
mod choice;
#[expect(
    clippy::module_inception,
    reason = "the folder is about containers, the file is the trait of that name"
)]
mod container;
mod containers;
mod discards;
mod dma;
mod error;
mod hint;
mod hot_reset;
mod iommufd;
mod kvm;
mod member;
mod reason;
mod type1;
mod unmap;

pub(crate) use bitmap::{add_bits, check_bitmap, runs};
pub use blocker::Blocker;
pub use candidate::{AttachOptions, Candidate};
pub use capabilities::{Backend, BarMapping, Capabilities};
pub use choice::{Choice, Options, Policy, open};
pub use container::Container;
pub use containers::{Containers, Placement};
pub use discards::{Discarding, Discards};
pub use dma::Dma;
pub use error::Error;
pub use hot_reset::HotResetProof;
pub use iommufd::{IncludedTable, IommufdContainer, MemberPasid};
pub use kvm::KvmVfio;
pub use member::Member;
pub use passthru_iommufd::{Access, DirtyRange, Ioas, IovaRanges};
pub use reason::BackendReason;
pub use type1::{DirtyBitmapLimits, Group, Type1Container, Type1Info};
pub(crate) use unmap::{may_have_taken_effect, unmap_certainly};
