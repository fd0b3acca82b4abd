//! [`VirtualIommu`]: the address space of a device behind a virtual IOMMU, whose mappings the guest makes.

use super::follower::Follower;
use super::span::overlap;
use super::transaction::Change;
use super::{AddressSpace, Error, Note, OnProgress, Span, Translation};
use std::ops::ControlFlow;
use std::sync::Arc;

/// An address space whose sections are the guest's own mappings of its memory. Containers join and
/// leave by [`VirtualIommu::space`], and get all of them replayed.
///
/// As in a real IOMMU, a mapping leads to an address, and devices see what is there: what is
/// deleted, withdrawn or discarded in the guest's memory is unmapped here before that call returns,
/// and is not mapped while it is away, whatever the guest does. When it is restored or populated,
/// or something else comes to its address, it is mapped again; that is noted where it cannot be
/// ([`Noted::Behind`](super::Noted::Behind)), and tried again when the guest's memory there changes
/// or is [restored](AddressSpace::restore).
///
/// It tracks dirty pages by itself, when its [space](VirtualIommu::space) is told to. What devices
/// wrote to until it is dropped is then told by the guest's memory, if that tracks too.
#[derive(Debug)]
pub struct VirtualIommu {
    system: Arc<AddressSpace>,
    follower: Arc<Follower>,
}

impl Drop for VirtualIommu {
    fn drop(&mut self) {
        let Ok(dirty) = self.follower.space.take_dirty() else {
            return;
        };
        let beyond = self.system.beyond();
        let state = &mut self.system.lock(beyond.as_deref()).state;
        if state.tracking {
            dirty.iter().for_each(|part| {
                state
                    .dirty
                    .insert(&part.memory, part.offset..part.offset + part.length);
            });
        }
    }
}

impl VirtualIommu {
    /// Makes one over the guest's memory, which `system` has: it knows what lies where, whether or
    /// not devices reach it directly. Memory is mapped by as many threads as there, and pins are
    /// shared with its containers if it [shares them](AddressSpace::with_sharing), which then holds
    /// for those that join here too.
    pub fn new(system: &Arc<AddressSpace>) -> Self {
        let space = AddressSpace::like(system).sharing_with(system);
        let follower = Arc::new(Follower::new(space));
        let beyond = system.beyond();
        let followers = &mut system.lock(beyond.as_deref()).state.followers;
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(Arc::downgrade(&follower));
        Self {
            system: Arc::clone(system),
            follower,
        }
    }

    /// Returns the address space, for containers to join and leave.
    pub fn space(&self) -> &AddressSpace {
        &self.follower.space
    }

    /// Maps what the guest mapped. What was in the same place goes; the same mapping a second time
    /// changes nothing. What is [withdrawn](AddressSpace::withdraw) is mapped when it is restored.
    ///
    /// # Errors
    /// [`Error::Untranslated`]; [`Error::Cut`] where a former mapping is there in part; as
    /// [`super::Transaction::commit`].
    pub fn map(&self, translation: Translation) -> Result<Vec<Note>, Error> {
        self.map_with(translation, &|_| ControlFlow::Continue(()))
    }

    /// Maps as [`VirtualIommu::map`], and tells how far it is: a guest may map all of its memory at
    /// once.
    ///
    /// # Errors
    /// As [`VirtualIommu::map`]; [`Error::Cancelled`] where the function breaks off.
    pub fn map_with(
        &self,
        translation: Translation,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        self.change(translation.iova, &[translation], on_progress)
    }

    /// Unmaps what the guest unmapped: all mappings in the span, which may have gaps, or be all
    /// that there is; also what was still mapped there after a failure.
    ///
    /// # Errors
    /// [`Error::Cut`] where it has a part of a mapping only; [`Error::StillMapped`].
    pub fn unmap(&self, iova: Span) -> Result<(), Error> {
        self.change(iova, &[], &|_| ControlFlow::Continue(()))
            .map(|_| ())
    }

    /// Makes these all of the mappings: after the guest has told the virtual IOMMU to forget what
    /// it knew, or the virtual machine has been restored. What is the same stays mapped throughout.
    ///
    /// # Errors
    /// As [`VirtualIommu::map`].
    pub fn replay(
        &self,
        translations: impl IntoIterator<Item = Translation>,
    ) -> Result<Vec<Note>, Error> {
        self.replay_with(translations, &|_| ControlFlow::Continue(()))
    }

    /// Maps as [`VirtualIommu::replay`], and tells how far it is.
    ///
    /// # Errors
    /// As [`VirtualIommu::replay`]; [`Error::Cancelled`] where the function breaks off.
    pub fn replay_with(
        &self,
        translations: impl IntoIterator<Item = Translation>,
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        self.change(Span::ALL, &Vec::from_iter(translations), on_progress)
    }

    /// Makes these the mappings in a span.
    fn change(
        &self,
        within: Span,
        new: &[Translation],
        on_progress: &OnProgress<'_>,
    ) -> Result<Vec<Note>, Error> {
        let system = self.system.read();
        let mut translations = self.follower.translations();
        if let Some(piece) = translations.cut_by(within) {
            return Err(Error::Cut {
                span: within,
                piece,
            });
        }
        if let Some((span, with)) = overlap(new.iter().map(|translation| translation.iova)) {
            return Err(Error::Overlap { span, with });
        }
        let mut unknown = new
            .iter()
            .filter(|new| translations.get(new.iova) != Some(new));
        unknown.try_for_each(|translation| translation.check(&system))?;
        let adds = new
            .iter()
            .flat_map(|translation| translation.sections(&system))
            .collect();
        let change = Change {
            clears: vec![within],
            adds,
            ..Change::default()
        };
        let mut space = self.follower.space.lock(Some(&system));
        let result = space.commit(change, on_progress);
        if matches!(result, Ok(_) | Err(Error::StillMapped { .. })) {
            translations.remove_all(within);
            new.iter()
                .for_each(|translation| translations.insert(translation.iova, *translation));
        }
        result
    }
}
