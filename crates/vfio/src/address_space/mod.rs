//! A guest's memory in DMA containers, kept in step with the guest by transactions.
//!
//! A VMM reports the [`Section`]s that its guest gains and loses in transactions. An
//! [`AddressSpace`] maps the sections in each of its containers, records every mapping, and keeps
//! the memory until it is unmapped. A change is made as a whole or not at all. A container that
//! joins late gets all sections.
//!
//! | event in the guest | call |
//! |---|---|
//! | memory is added or removed | [`AddressSpace::begin`], [`Transaction::commit`] |
//! | granules come and go (virtio-mem) | [`AddressSpace::populate`], [`AddressSpace::discard`] |
//! | the device of a BAR is reset | [`AddressSpace::withdraw`], [`AddressSpace::restore`] |
//! | the guest maps in a virtual IOMMU | [`VirtualIommu`], which follows all of the above |
//! | the guest is migrated | [`AddressSpace::set_dirty_tracking`], [`AddressSpace::take_dirty`] |
//!
//! ```
//! use passthru_vfio::address_space::{AddressSpace, Memory, Pages, Section, Span};
//! use std::sync::Arc;
//!
//! let space = AddressSpace::default();
//! let memory = Arc::new(Memory::anonymous(1 << 20, Pages::Base)?);
//! let low = Span::new(0, 0xa_0000)?;
//!
//! let mut change = space.begin();
//! change.add(Section::ram(low, &memory, 0)?);
//! for note in change.commit()? {
//!     println!("{note}");
//! }
//!
//! let mut change = space.begin();
//! change.del(low);
//! change.commit()?;
//! # Ok::<(), passthru_vfio::address_space::Error>(())
//! ```
//!
//! For DMA buffers of a userspace driver, use [`crate::dma`] instead.

#[expect(
    clippy::module_inception,
    reason = "the folder is about address spaces, the file is the one type of that name"
)]
mod address_space;
mod change;
mod copy_source;
mod dirty;
mod error;
mod failed_unmaps;
mod follower;
mod granules;
mod interval_map;
mod joined_container;
mod locked_space;
mod map_job;
mod mapper;
mod memory;
mod memory_ranges;
mod note;
mod pinning;
mod progress;
mod section;
mod section_entry;
mod sharing;
mod span;
mod state;
mod transaction;
mod translation;
mod viommu;
mod workers;

pub use address_space::AddressSpace;
pub use dirty::DirtyMemory;
pub use error::Error;
pub use mapper::Mapper;
pub use memory::{Memory, Pages};
pub use note::{Note, NoteKind};
pub use progress::{OnProgress, Phase, Progress};
pub use section::{Backing, Section, SectionKind, SkipReason};
pub use sharing::{Sharing, SharingReason};
pub use span::Span;
pub use transaction::Transaction;
pub use translation::Translation;
pub use viommu::VirtualIommu;
