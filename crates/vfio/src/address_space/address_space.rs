//! [`AddressSpace`]: the sections of a guest, mapped in containers.

use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::dirty::{self, DirtyMemory};
use super::granules;
use super::joined_container::JoinedContainer;
use super::locked_space::LockedSpace;
use super::state::SpaceState;
use super::{Error, Mapper, Note, OnProgress, Section, Sharing, Span, Transaction};
use crate::container::Dma;

/// The addresses of a guest (behind a virtual IOMMU: of its devices), and the containers in which
/// they are mapped.
///
/// The containers belong to the address space alone: no other code maps, unmaps or tracks dirty
/// pages in them. On drop, everything is unmapped.
#[derive(Debug, Default)]
pub struct AddressSpace {
    state: RwLock<SpaceState>,
    mapper: Mapper,
    sharing: Sharing,
    /// Another address space that may have the same memory mapped.
    pin_source: Option<Arc<AddressSpace>>,
}

impl AddressSpace {
    /// Sets the number of threads that map.
    #[must_use]
    pub fn with_mapper(mut self, mapper: Mapper) -> Self {
        self.mapper = mapper;
        self
    }

    /// Sets the policy of sharing pins between containers. The default is [`Sharing::Never`].
    ///
    /// # Safety
    /// A copy of a container's mapping reaches the memory that is mapped there, which must be the
    /// recorded one. So no other code maps or unmaps by [`Dma`], by
    /// [`Ioas`](crate::container::Ioas) or by [`DmaPool`](crate::dma::DmaPool):
    /// - in the containers that join this address space;
    /// - in those that join the address space of [`AddressSpace::sharing_with`];
    /// - in those that join a [`VirtualIommu`](super::VirtualIommu) over this address space.
    #[must_use]
    #[allow(
        unsafe_code,
        reason = "a copy of a foreign mapping would outlive the memory behind it"
    )]
    pub unsafe fn with_sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Sets another address space that has the same memory, whose pins can be shared.
    ///
    /// The policy is that of [`AddressSpace::with_sharing`]. A container on the same iommufd that
    /// joins the other address space shares all memory, even without a device.
    #[must_use]
    pub fn sharing_with(mut self, other: &Arc<AddressSpace>) -> Self {
        self.pin_source = Some(Arc::clone(other));
        self
    }

    /// Makes an empty address space with the mapper and sharing policy of another one.
    pub(super) fn with_settings_of(other: &Self) -> Self {
        Self {
            mapper: other.mapper,
            sharing: other.sharing,
            ..Self::default()
        }
    }

    /// Begins a change, which takes effect with [`Transaction::commit`].
    pub fn begin(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// Maps everything in a container, which then belongs to this address space.
    ///
    /// Attach devices first: their usable IOVAs are then known, and several threads pin the memory.
    /// A type1 container loses its mappings with its last device: let it
    /// [leave](AddressSpace::leave) then, and join again with the next device.
    ///
    /// # Errors
    /// - If the container has joined already: [`Error::AlreadyJoined`].
    /// - If dirty pages are tracked and tracking cannot start: [`Error::DirtyTracking`].
    /// - As [`Transaction::commit`], with nothing mapped in the container.
    pub fn join(&self, container: Arc<dyn Dma>) -> Result<Vec<Note>, Error> {
        self.join_with(container, &|_| ControlFlow::Continue(()))
    }

    /// Joins as [`AddressSpace::join`], and reports the progress.
    ///
    /// # Errors
    /// - As [`AddressSpace::join`].
    /// - If `on_progress` returns `Break`: [`Error::Cancelled`].
    pub fn join_with(
        &self,
        container: Arc<dyn Dma>,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let pin_source = self.lock_pin_source();
        let mut space = self.lock(pin_source.as_deref());
        let state = &mut space.state;
        if index_of(state, &container).is_some() {
            return Err(Error::AlreadyJoined);
        }
        let joined = JoinedContainer::new(container, state.tracking)?;
        let index = state.containers.len();
        state.containers.push(joined);
        let result = space.map_missing(&[index], &[Span::ALL], on_progress);
        if result.is_err()
            && let Err(error) = space.state.remove(index)
        {
            tracing::warn!("{error}");
        }

        result
    }

    /// Unmaps everything in a container, which then no longer belongs to this address space.
    ///
    /// Dirty tracking stops in the container. [`AddressSpace::take_dirty`] still returns what its
    /// devices wrote to before.
    ///
    /// # Errors
    /// - If the container has not joined: [`Error::NotJoined`].
    /// - If the kernel refuses to unmap: [`Error::StillMapped`]. The memory is then never freed.
    pub fn leave(&self, container: &Arc<dyn Dma>) -> Result<(), Error> {
        let pin_source = self.lock_pin_source();
        let state = &mut self.lock(pin_source.as_deref()).state;
        let index = index_of(state, container).ok_or(Error::NotJoined)?;
        state.remove(index)
    }

    /// Unmaps the sections in a span until they are restored, also behind virtual IOMMUs.
    ///
    /// Withdraw a BAR before its device is reset, enters D3 or loses memory decode: each of these
    /// empties the mapping of a dma-buf.
    ///
    /// # Errors
    /// - If the span has no section: [`Error::NotFound`].
    /// - If the span has only a part of a section: [`Error::Cut`].
    /// - If the kernel refuses to unmap: [`Error::StillMapped`].
    pub fn withdraw(&self, span: Span) -> Result<(), Error> {
        let pin_source = self.lock_pin_source();
        let mut space = self.lock(pin_source.as_deref());
        let sections = space.state.whole_sections(span)?;
        space.state.set_withdrawn(&sections, true);
        space.clear(&sections)?;
        Ok(())
    }

    /// Maps what is missing of the sections in a span, and unmaps what a failure left there.
    ///
    /// Missing are withdrawn sections, BARs that could not be mapped, and mappings that were lost.
    ///
    /// # Errors
    /// - If the span has no section: [`Error::NotFound`].
    /// - If the span has only a part of a section: [`Error::Cut`].
    /// - As [`Transaction::commit`].
    pub fn restore(&self, span: Span) -> Result<Vec<Note>, Error> {
        self.restore_with(span, &|_| ControlFlow::Continue(()))
    }

    /// Restores as [`AddressSpace::restore`], and reports the progress.
    ///
    /// # Errors
    /// - As [`AddressSpace::restore`].
    /// - If `on_progress` returns `Break`: [`Error::Cancelled`].
    pub fn restore_with(
        &self,
        span: Span,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let pin_source = self.lock_pin_source();
        let mut space = self.lock(pin_source.as_deref());
        let sections = space.state.whole_sections(span)?;
        space.state.clear_stale(&[span])?;
        let mut withdrawn = sections.clone();
        withdrawn.retain(|section| space.state.is_withdrawn(*section));
        space.state.set_withdrawn(&withdrawn, false);
        match space.map_missing_in_all(&sections, on_progress) {
            Ok(notes) => space.notify_listeners(&sections, notes),
            Err(error) => {
                space.state.set_withdrawn(&withdrawn, true);
                Err(error)
            }
        }
    }

    /// Maps granules that the guest populates. Each is a mapping of its own, so that each can be
    /// discarded. Granules that are populated already stay.
    ///
    /// # Errors
    /// - If the span is not in a section of granules: [`Error::NotGranules`].
    /// - If the span does not consist of whole granules: [`Error::PartialGranule`].
    /// - As [`Transaction::commit`], with nothing changed.
    pub fn populate(&self, span: Span) -> Result<Vec<Note>, Error> {
        self.populate_with(span, &|_| ControlFlow::Continue(()))
    }

    /// Populates as [`AddressSpace::populate`], and reports the progress.
    ///
    /// # Errors
    /// - As [`AddressSpace::populate`].
    /// - If `on_progress` returns `Break`: [`Error::Cancelled`].
    pub fn populate_with(
        &self,
        span: Span,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let pin_source = self.lock_pin_source();
        let mut space = self.lock(pin_source.as_deref());
        granules::populate(&mut space, span, on_progress)
    }

    /// Unmaps granules that the guest discards, also behind virtual IOMMUs. Granules that are not
    /// populated stay so.
    ///
    /// # Errors
    /// - If the span is not in a section of granules: [`Error::NotGranules`].
    /// - If the span does not consist of whole granules: [`Error::PartialGranule`].
    /// - If the kernel refuses to unmap: [`Error::StillMapped`]. All granules are discarded, but
    ///   devices reach the ones that the error names.
    pub fn discard(&self, span: Span) -> Result<(), Error> {
        let pin_source = self.lock_pin_source();
        let mut space = self.lock(pin_source.as_deref());
        granules::discard(&mut space, span)
    }

    /// Starts or stops tracking of the pages that devices write to, in all containers.
    ///
    /// A start makes all pages clean, if the IOMMU reports dirty pages. Containers that join later
    /// are tracked until they leave. A [`VirtualIommu`](super::VirtualIommu) over this address
    /// space is tracked apart, by its own space. A stop loses dirty pages that were not taken. Do
    /// not start or stop tracking in a container directly.
    ///
    /// # Errors
    /// [`Error::DirtyTracking`]:
    /// - If a start fails in one container, tracking is off in all.
    /// - If a stop fails in one container, tracking has stopped in the others, and their dirty
    ///   pages are lost. Stop, or start, again.
    pub fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        let pin_source = self.lock_pin_source();
        let mut space = self.lock(pin_source.as_deref());
        dirty::set_tracking(&mut space.state, on)
    }

    /// Adds the dirty pages of a span to `bitmap`, from all containers.
    ///
    /// Bit i % 64 of word i / 64 is the page at the span's start + i × `page_size`. With `clear`,
    /// the pages are clean from then on. The span may have gaps and discarded granules. Memory that
    /// was unmapped since is reported at the addresses of all sections that have it.
    /// [`AddressSpace::take_dirty`] reports unmapped memory without a section too.
    ///
    /// # Unmaps while devices write
    /// On iommufd, a page that a device first writes to between the read of the dirty pages and the
    /// unmap is missed: see [`Dma::unmap_dirty`]. A guest gives up memory before it unmaps or
    /// discards it. While dirty pages are tracked, a VMM that removes or moves memory must first
    /// stop the devices that write there. Otherwise the VMM must count all of that memory as dirty.
    /// type1 reads and unmaps in one call.
    ///
    /// # Errors
    /// - If the span has only a part of a mapping: [`Error::Cut`].
    /// - If the span does not have whole pages, if the bitmap is too small, or if the kernel
    ///   refuses: [`Error::DirtyPages`]. Bits that were added before stay set, since those pages
    ///   may be clean already.
    pub fn dirty_pages(
        &self,
        span: Span,
        page_size: u64,
        clear: bool,
        bitmap: &mut [u64],
    ) -> Result<(), Error> {
        dirty::check_query(span, page_size, bitmap)?;
        let pin_source = self.lock_pin_source();
        let mut space = self.lock(pin_source.as_deref());
        dirty::read_pages(&mut space.state, span, page_size, clear, bitmap)
    }

    /// Takes all memory that devices wrote to since the last call, and makes it clean.
    ///
    /// The result has memory that is mapped, and memory that was unmapped since. Freed memory is
    /// left out, and each byte is in one part. Behind a virtual IOMMU, an IOVA has no meaning once
    /// the guest has unmapped it: use this call there.
    ///
    /// # Errors
    /// - If dirty pages are not tracked, or the kernel refuses: [`Error::DirtyPages`]. What was
    ///   read before the failure is kept for the next call.
    pub fn take_dirty(&self) -> Result<Vec<DirtyMemory>, Error> {
        let pin_source = self.lock_pin_source();
        let mut space = self.lock(pin_source.as_deref());
        dirty::take(&mut space.state)
    }

    /// Returns all sections in rising order.
    pub fn sections(&self) -> Vec<Section> {
        self.read()
            .sections
            .iter()
            .map(|(_, entry)| entry.section.clone())
            .collect()
    }

    /// Returns the mappings in a container, in rising order.
    ///
    /// # Errors
    /// - If the container has not joined: [`Error::NotJoined`].
    pub fn mappings(&self, container: &Arc<dyn Dma>) -> Result<Vec<Span>, Error> {
        let state = self.read();
        let index = index_of(&state, container).ok_or(Error::NotJoined)?;
        let mappings = state.containers[index].mappings.iter();
        Ok(mappings.map(|(span, _)| span).collect())
    }

    /// Locks the address space to share pins with, which must be locked before this one.
    pub(super) fn lock_pin_source(&self) -> Option<RwLockReadGuard<'_, SpaceState>> {
        Some(self.pin_source.as_ref()?.read())
    }

    /// Locks the address space for reading.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, SpaceState> {
        // Each mapping is recorded before it is made, so a panic leaves a valid state.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the address space for a change. `pin_source` is the state of
    /// [`AddressSpace::lock_pin_source`].
    pub(super) fn lock<'a>(&'a self, pin_source: Option<&'a SpaceState>) -> LockedSpace<'a> {
        LockedSpace {
            state: self.state.write().unwrap_or_else(PoisonError::into_inner),
            mapper: self.mapper,
            sharing: self.sharing,
            pin_source,
        }
    }
}

fn index_of(state: &SpaceState, container: &Arc<dyn Dma>) -> Option<usize> {
    state
        .containers
        .iter()
        .position(|joined| joined.is_same(container))
}
