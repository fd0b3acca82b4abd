//! VFIO devices, in the states that they pass through.
//!
//! | state | the device |
//! |---|---|
//! | [`Source`] | is named, by path, PCI address or descriptor |
//! | [`Cdev`] | is open; only [`Cdev::bind`] is possible |
//! | [`Bound`] | belongs to an iommufd; can be queried and reset, but its DMA is blocked |
//! | [`Attached`] | reaches the memory that its [`Target`] maps |
//!
//! [`Device`] is the common part of the last two: regions, interrupts, resets, features, migration.
//!
//! ```no_run
//! use passthru_iommufd::{Ioas, Iommufd};
//! use passthru_vfio::device::{Bound, Source};
//! use std::sync::Arc;
//!
//! let iommufd = Arc::new(Iommufd::open()?);
//! let ioas = Arc::new(Ioas::alloc(&iommufd)?);
//! let bound = Source::Pci("0000:00:10.0".parse()?).open()?.bind(&iommufd, None)?;
//! println!("{:?}", bound.device().info()?);
//! let attached = bound.attach(ioas)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attached;
mod attachment;
mod bound;
mod cdev;
#[expect(
    clippy::module_inception,
    reason = "the folder is about devices, the file is the one type of that name"
)]
mod device;
mod dma_logging;
mod error;
mod event;
mod feature;
mod hint;
mod hot_reset;
mod info;
mod irq;
mod location;
mod migration;
mod migration_state;
mod mmap;
mod region;
mod region_info;
mod source;
mod target;
mod word;
mod zpci;

pub use attached::Attached;
pub use attachment::PasidAttachment;
pub use bound::Bound;
pub use cdev::Cdev;
pub use device::Device;
pub use error::{Error, RegionAccess};
pub use event::Event;
pub use feature::Feature;
pub(crate) use hint::{MANY_FILES, NO_IOMMU};
pub use hot_reset::{AffectedDevice, HotResetInfo, HotResetOwner};
pub use info::{AtomicOps, Bus, DeviceInfo};
pub use irq::Irq;
pub use location::{DeviceKind, Location};
pub use migration::{MigrationData, MigrationFlags, PrecopySize};
pub use migration_state::MigrationState;
pub use mmap::Mmap;
pub use region::Region;
pub use region_info::RegionType;
pub use source::Source;
pub use target::Target;
pub use word::Word;
pub use zpci::ZpciError;
