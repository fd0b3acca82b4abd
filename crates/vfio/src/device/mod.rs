//! VFIO devices, in the states that they go through: a [`Source`] says which one; an open [`Cdev`]
//! does nothing yet; a [`Bound`] one belongs to an iommufd and can be asked and reset, but reaches
//! no memory; an [`Attached`] one reaches the memory that its [`Target`] maps. [`Device`] is what
//! can be done with it in the last two.
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
mod bound;
mod cdev;
#[expect(
    clippy::module_inception,
    reason = "the folder is about devices, the file is the one type of that name"
)]
mod device;
mod dma_buf;
mod dma_logging;
mod error;
mod event;
mod feature;
mod info;
mod ioeventfd;
mod irq;
mod migration;
mod mmap;
mod region;
mod reset;
mod source;
mod word;

pub use attached::{Attached, PasidAttachment, Target};
pub use bound::Bound;
pub use cdev::Cdev;
pub use device::Device;
pub use error::{Access, Error};
pub(crate) use error::{MANY_FILES, NO_IOMMU};
pub use event::Event;
pub use feature::{Feature, ZpciError};
pub use info::{AtomicOps, Bus, Info};
pub use irq::Irq;
pub use migration::{Migration, MigrationData, MigrationState, Precopy};
pub use mmap::Mmap;
pub use region::{Region, RegionType};
pub use reset::{Affected, HotReset, Owner};
pub use source::{Kind, Location, Source};
pub use word::Word;
