//! [`AddressSpace`]: what devices see at which address, kept in step with what the guest sees there.
//!
//! A VMM's memory listener tells it in transactions which [`Section`]s come and go. It maps them in
//! each of its containers (it sees [`Dma`] alone), records every mapping, and keeps the memory
//! until it is unmapped. A change is made as a whole or not at all. A container that joins late
//! gets everything that is there.
//!
//! | | |
//! |---|---|
//! | the guest's memory changes | [`AddressSpace::begin`], [`Transaction::commit`] |
//! | granules of it come and go (virtio-mem) | [`AddressSpace::populate`], [`AddressSpace::discard`] |
//! | a BAR's device is reset, or loses it | [`AddressSpace::withdraw`], [`AddressSpace::restore`] |
//! | the guest maps in a virtual IOMMU | [`VirtualIommu`], which follows all of these |
//! | the guest is migrated | [`AddressSpace::set_dirty_tracking`], then [`AddressSpace::dirty_pages`] by address, or [`AddressSpace::take_dirty`] by memory |
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
//! It is not for DMA buffers of a userspace driver: that is [`crate::dma`].

mod dirty;
mod entry;
mod error;
mod follower;
mod granules;
mod locked;
mod mapper;
mod member;
mod memory;
mod note;
mod parts;
mod section;
mod sharing;
mod source;
mod span;
mod state;
mod transaction;
mod translation;
mod viommu;

pub use dirty::DirtyMemory;
pub use error::Error;
pub use mapper::{Mapper, OnProgress, Phase, Progress};
pub use memory::{Memory, Pages};
pub use note::{Note, Noted};
pub use section::{Backing, Kind, Section, Skipped};
pub use sharing::{Sharing, Why};
pub use span::Span;
pub use transaction::Transaction;
pub use translation::Translation;
pub use viommu::VirtualIommu;

use crate::container::Dma;
use member::Member;
use state::State;
use std::ops::ControlFlow;
use std::sync::{Arc, RwLock};

/// The addresses of a guest (or, behind a virtual IOMMU, those of a device), and the containers in
/// which they are mapped.
///
/// Its containers are its alone: nobody else maps, unmaps or tracks dirty pages in them. On drop it
/// unmaps everything.
#[derive(Debug, Default)]
pub struct AddressSpace {
    state: RwLock<State>,
    mapper: Mapper,
    sharing: Sharing,
    /// Where the same memory may be mapped.
    beyond: Option<Arc<AddressSpace>>,
}

impl AddressSpace {
    /// Says by how many threads it maps.
    #[must_use]
    pub fn with_mapper(mut self, mapper: Mapper) -> Self {
        self.mapper = mapper;
        self
    }

    /// Says when pins are shared between containers. They are not unless that is said.
    ///
    /// # Safety
    /// Nobody else maps or unmaps in the containers that join: by [`Dma`], by its
    /// [`Ioas`](crate::container::Ioas), or with a [`DmaPool`](crate::dma::DmaPool). Nor, if pins
    /// are [shared with](AddressSpace::sharing_with) another address space, in those that join
    /// there, nor in those that join a [`VirtualIommu`] over this one. What is copied from a
    /// container is what stands in it, which must be what was mapped.
    #[must_use]
    #[allow(
        unsafe_code,
        reason = "memory that somebody else mapped would be copied, and be freed before its copy"
    )]
    pub unsafe fn with_sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Says in which other address space the same memory is, so that pins can be shared with its
    /// containers, as [`AddressSpace::with_sharing`] says. A container on the same iommufd that
    /// joins there shares all of the memory, also without any device.
    #[must_use]
    pub fn sharing_with(mut self, other: &Arc<AddressSpace>) -> Self {
        self.beyond = Some(Arc::clone(other));
        self
    }

    /// An empty one that maps as another one does.
    fn like(other: &Self) -> Self {
        Self {
            mapper: other.mapper,
            sharing: other.sharing,
            ..Self::default()
        }
    }

    /// Begins a change. Nothing happens before [`Transaction::commit`].
    pub fn begin(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// Maps everything in a container, which belongs to this address space from now on. Devices are
    /// best attached before: their usable IOVAs are known then, and memory is pinned by several
    /// threads. A container whose mappings go with its last device (type1)
    /// [leaves](AddressSpace::leave) with that, and joins again with the next one.
    ///
    /// # Errors
    /// As [`Transaction::commit`], with nothing mapped in it; [`Error::Member`];
    /// [`Error::DirtyTracking`].
    pub fn join(&self, container: Arc<dyn Dma>) -> Result<Vec<Note>, Error> {
        self.join_with(container, &|_| ControlFlow::Continue(()))
    }

    /// Joins as [`AddressSpace::join`], and tells how far it is.
    ///
    /// # Errors
    /// As [`AddressSpace::join`]; [`Error::Cancelled`] where the function breaks off.
    pub fn join_with(
        &self,
        container: Arc<dyn Dma>,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let beyond = self.beyond();
        let mut space = self.lock(beyond.as_deref());
        if space
            .state
            .members
            .iter()
            .any(|member| member.is(&container))
        {
            return Err(Error::Member);
        }
        let member = Member::new(container, space.state.tracking)?;
        space.state.members.push(member);
        let member = space.state.members.len() - 1;
        let result = space.map_missing(&[member], &[Span::ALL], on_progress);
        if result.is_err() {
            space
                .state
                .remove(member)
                .unwrap_or_else(|error| tracing::warn!("{error}"));
        }
        result
    }

    /// Unmaps everything in a container, which then belongs to this address space no more. What its
    /// devices wrote to is kept for [`AddressSpace::take_dirty`], and is not tracked any more.
    ///
    /// # Errors
    /// [`Error::NotMember`]; [`Error::StillMapped`]: the memory is then never freed.
    pub fn leave(&self, container: &Arc<dyn Dma>) -> Result<(), Error> {
        let beyond = self.beyond();
        let state = &mut self.lock(beyond.as_deref()).state;
        let index = state
            .members
            .iter()
            .position(|member| member.is(container))
            .ok_or(Error::NotMember)?;
        state.remove(index)
    }

    /// Unmaps the sections in a span for the time being, also where a virtual IOMMU leads to them:
    /// before a device whose BAR is there is reset, goes to D3 or loses memory decode, by which the
    /// mapping of a dma-buf would be emptied.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Cut`] where the span has a part of a section;
    /// [`Error::StillMapped`].
    pub fn withdraw(&self, span: Span) -> Result<(), Error> {
        let beyond = self.beyond();
        let mut space = self.lock(beyond.as_deref());
        let sections = space.state.whole_sections(span)?;
        sections
            .iter()
            .for_each(|section| space.state.set_withdrawn(*section, true));
        space.clear(&sections).map(|_| ())
    }

    /// Maps what should be mapped of the sections in a span, and is not: what was withdrawn, BARs
    /// that could not be mapped, and what was lost. Unmaps what a failure left there.
    ///
    /// # Errors
    /// As [`Transaction::commit`]; [`Error::NotFound`], [`Error::Cut`].
    pub fn restore(&self, span: Span) -> Result<Vec<Note>, Error> {
        self.restore_with(span, &|_| ControlFlow::Continue(()))
    }

    /// Restores as [`AddressSpace::restore`], and tells how far it is.
    ///
    /// # Errors
    /// As [`AddressSpace::restore`]; [`Error::Cancelled`] where the function breaks off.
    pub fn restore_with(
        &self,
        span: Span,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let beyond = self.beyond();
        let mut space = self.lock(beyond.as_deref());
        let sections = space.state.whole_sections(span)?;
        space.state.clear_stale(&[span])?;
        let withdrawn: Vec<_> = sections
            .iter()
            .copied()
            .filter(|section| space.state.is_withdrawn(*section))
            .collect();
        withdrawn
            .iter()
            .for_each(|section| space.state.set_withdrawn(*section, false));
        match space.map_missing_in_all(&sections, on_progress) {
            Ok(notes) => space.lead_followers(&sections, notes),
            Err(error) => {
                withdrawn
                    .iter()
                    .for_each(|section| space.state.set_withdrawn(*section, true));
                Err(error)
            }
        }
    }

    /// Returns the sections in rising order.
    pub fn sections(&self) -> Vec<Section> {
        self.read()
            .sections
            .iter()
            .map(|(_, entry)| entry.section.clone())
            .collect()
    }

    /// Returns what is mapped in a container, by whole mappings in rising order.
    ///
    /// # Errors
    /// [`Error::NotMember`].
    pub fn mappings(&self, container: &Arc<dyn Dma>) -> Result<Vec<Span>, Error> {
        let state = self.read();
        let member = state
            .members
            .iter()
            .find(|member| member.is(container))
            .ok_or(Error::NotMember)?;
        Ok(member.pieces.iter().map(|(span, _)| span).collect())
    }
}
