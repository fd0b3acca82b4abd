//! [`VirtualIommu`]: the address space of devices behind a virtual IOMMU.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::change::Change;
use super::follower::Follower;
use super::span::find_overlap;
use super::{AddressSpace, Error, Note, OnProgress, Span, Translation};

/// An address space whose mappings the guest makes, to its own memory.
///
/// Containers join and leave through [`VirtualIommu::space`], and get all mappings.
///
/// As with a real IOMMU, a mapping leads to a guest physical address, and devices see what the
/// guest has there:
/// - If a section of the guest is deleted, withdrawn or discarded, devices lose it before that call
///   returns, and do not reach it meanwhile, whatever the guest maps.
/// - If a section comes back, or another one takes its place, it is mapped again.
/// - If that mapping fails, it is noted ([`NoteKind::BehindViommu`](super::NoteKind)). It is tried
///   again when the guest's memory changes there or is [restored](AddressSpace::restore).
///
/// Dirty pages are tracked apart from the guest's memory, by the [space](VirtualIommu::space) of
/// the virtual IOMMU. Dirty memory that is not taken before the drop goes to the guest's memory, if
/// that tracks dirty pages too.
#[derive(Debug)]
pub struct VirtualIommu {
    guest: Arc<AddressSpace>,
    follower: Arc<Follower>,
}

impl Drop for VirtualIommu {
    fn drop(&mut self) {
        let Ok(dirty) = self.follower.space.take_dirty() else {
            return;
        };
        let pin_source = self.guest.lock_pin_source();
        let state = &mut self.guest.lock(pin_source.as_deref()).state;
        if !state.tracking {
            return;
        }
        // The parts outlive the lock: the last owner of memory may call the address space.
        for part in &dirty {
            let range = part.offset..part.offset + part.length;
            state.dirty.insert(&part.memory, range);
        }
    }
}

impl VirtualIommu {
    /// Makes a virtual IOMMU over the guest's memory.
    ///
    /// `guest` has the sections of the guest, whether or not devices reach them directly. The
    /// virtual IOMMU maps with as many threads. If `guest`
    /// [shares pins](AddressSpace::with_sharing), the containers that join here share them too, and
    /// the safety rules of sharing apply to them.
    pub fn new(guest: &Arc<AddressSpace>) -> Self {
        let space = AddressSpace::with_settings_of(guest).sharing_with(guest);
        let follower = Arc::new(Follower::new(space));
        let pin_source = guest.lock_pin_source();
        let listeners = &mut guest.lock(pin_source.as_deref()).state.listeners;
        listeners.retain(|listener| listener.strong_count() > 0);
        let listener = Arc::downgrade(&follower);
        listeners.push(listener);
        Self {
            guest: Arc::clone(guest),
            follower,
        }
    }

    /// Returns the address space that containers join and leave.
    pub fn space(&self) -> &AddressSpace {
        &self.follower.space
    }

    /// Makes a mapping. It replaces former mappings at its IOVAs.
    ///
    /// If the same mapping exists, nothing changes. A [withdrawn](AddressSpace::withdraw) section
    /// is mapped once it is restored.
    ///
    /// # Errors
    /// - If the guest has no section at a target address: [`Error::Untranslated`].
    /// - If a former mapping lies partly at the IOVAs: [`Error::Cut`].
    /// - As [`Transaction::commit`](super::Transaction::commit).
    pub fn map(&self, translation: Translation) -> Result<Vec<Note>, Error> {
        self.map_with(translation, &|_| ControlFlow::Continue(()))
    }

    /// Maps as [`VirtualIommu::map`], and reports the progress: a guest may map all of its memory
    /// at once.
    ///
    /// # Errors
    /// - As [`VirtualIommu::map`].
    /// - If `on_progress` returns `Break`: [`Error::Cancelled`].
    pub fn map_with(
        &self,
        translation: Translation,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        self.change(translation.iova, &[translation], on_progress)
    }

    /// Removes all mappings in a span, which may have gaps.
    ///
    /// Mappings that a former failure left in the span are unmapped too.
    ///
    /// # Errors
    /// - If a mapping lies partly in the span: [`Error::Cut`].
    /// - If the kernel refuses to unmap: [`Error::StillMapped`].
    pub fn unmap(&self, iova: Span) -> Result<(), Error> {
        self.change(iova, &[], &|_| ControlFlow::Continue(()))?;
        Ok(())
    }

    /// Replaces all mappings, after the guest has reset the virtual IOMMU or the virtual machine
    /// has been restored. Mappings that do not change stay mapped throughout.
    ///
    /// # Errors
    /// As [`VirtualIommu::map`].
    pub fn replay(
        &self,
        translations: impl IntoIterator<Item = Translation>,
    ) -> Result<Vec<Note>, Error> {
        self.replay_with(translations, &|_| ControlFlow::Continue(()))
    }

    /// Replays as [`VirtualIommu::replay`], and reports the progress.
    ///
    /// # Errors
    /// - As [`VirtualIommu::replay`].
    /// - If `on_progress` returns `Break`: [`Error::Cancelled`].
    pub fn replay_with(
        &self,
        translations: impl IntoIterator<Item = Translation>,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        self.change(Span::ALL, &Vec::from_iter(translations), on_progress)
    }

    /// Replaces the mappings in a span.
    fn change(
        &self,
        within: Span,
        new: &[Translation],
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let guest = self.guest.read();
        let mut translations = self.follower.translations();
        if let Some(cut) = translations.cut_by(within) {
            return Err(Error::Cut { span: within, cut });
        }
        if let Some((span, other)) = find_overlap(new.iter().map(|translation| translation.iova)) {
            return Err(Error::Overlap { span, other });
        }
        for translation in new {
            if translations.get(translation.iova) != Some(translation) {
                translation.check(&guest)?;
            }
        }

        let change = Change {
            clears: vec![within],
            adds: new
                .iter()
                .flat_map(|translation| translation.sections(&guest))
                .collect(),
            ..Change::default()
        };
        let mut space = self.follower.space.lock(Some(&guest));
        let result = change.commit(&mut space, on_progress);
        if matches!(result, Ok(_) | Err(Error::StillMapped { .. })) {
            translations.remove_overlapping(within);
            for translation in new {
                translations.insert(translation.iova, *translation);
            }
        }

        result
    }
}
