//! [`Transaction`]: a change of an address space, made as a whole or not at all.

use std::ops::ControlFlow;

use super::change::Change;
use super::{AddressSpace, Error, Note, OnProgress, Section, Span};

/// A change in preparation.
///
/// [`Transaction::commit`] removes sections first and then adds sections, whatever the order of the
/// calls. A transaction that is dropped without a commit changes nothing.
#[must_use = "a transaction changes nothing until it is committed"]
#[derive(Debug)]
pub struct Transaction<'a> {
    space: &'a AddressSpace,
    change: Change,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(space: &'a AddressSpace) -> Self {
        Self {
            space,
            change: Change::default(),
        }
    }
}

impl Transaction<'_> {
    /// Adds a section.
    pub fn add(&mut self, section: Section) -> &mut Self {
        self.change.adds.push(section);
        self
    }

    /// Removes all sections in a span. The span must have at least one, and cut none.
    pub fn del(&mut self, span: Span) -> &mut Self {
        self.change.dels.push(span);
        self
    }

    /// Removes all sections in a span, if there are any. The span must cut none.
    pub fn clear(&mut self, span: Span) -> &mut Self {
        self.change.clears.push(span);
        self
    }

    /// Makes the change in all containers. Returns notes on sections that are not simply mapped.
    ///
    /// The steps are:
    /// 1. Mappings that overlap a new section are unmapped.
    /// 2. All new sections are mapped.
    /// 3. The mappings of removed sections are unmapped, also mappings that a former failure left
    ///    in a removed or cleared span.
    ///
    /// A section that is removed and added again unchanged stays mapped, and stays withdrawn if it
    /// was. What a former failure left unmapped of such a section is mapped. The usable IOVAs are
    /// read for each change, since each attached device can narrow them.
    ///
    /// # Errors
    /// - If the change is invalid: [`Error::NotFound`], [`Error::Cut`], [`Error::Overlap`].
    /// - If a container cannot have a section: [`Error::Misaligned`], [`Error::UnusableIova`],
    ///   [`Error::TooManyMappings`], [`Error::IovaRanges`].
    /// - If the kernel refuses: [`Error::Map`], [`Error::Unmap`].
    /// - If a former mapping could not be restored after a failure: [`Error::Lost`].
    /// - If the change is made, but former mappings remain: [`Error::StillMapped`].
    ///
    /// After all but the last two, nothing has changed.
    pub fn commit(self) -> Result<Vec<Note>, Error> {
        self.commit_with(&|_| ControlFlow::Continue(()))
    }

    /// Commits as [`Transaction::commit`], and reports the progress.
    ///
    /// # Errors
    /// - As [`Transaction::commit`].
    /// - If `on_progress` returns `Break`: [`Error::Cancelled`].
    pub fn commit_with(self, on_progress: &OnProgress<'_>) -> Result<Vec<Note>, Error> {
        let pin_source = self.space.lock_pin_source();
        let mut space = self.space.lock(pin_source.as_deref());
        self.change.commit(&mut space, on_progress)
    }
}
