//! [`Container`]: mappings with the devices that reach them.

use std::sync::Arc;

use passthru_iommufd::Hwpt;

use super::{AttachOptions, Candidate, Discards, Dma, Error, HotResetProof, IncludedTable, Member};
use crate::Failed;
use crate::device::HotResetInfo;

/// The base container: mappings, and the devices that reach them.
pub trait Container: Dma {
    /// Opens a device, unless it is bound already, and attaches it: from now on it reaches what is
    /// mapped. type1 opens its group and takes it in, unless another device of the group is a
    /// member.
    ///
    /// # Errors
    /// The step that failed ([`Error::NotViable`] where other devices of the group are in the way);
    /// what was done before is undone, and the device comes back as it is then: one that was bound
    /// meanwhile as [`Candidate::Bound`], an open one as [`Source::Fd`].
    fn attach(
        &self,
        device: Candidate,
        options: AttachOptions,
    ) -> Result<Member, Failed<Candidate, Error>>;

    /// Has a page table over this container's address space tell its dirty pages with the others,
    /// for as long as the returned value lives: one that a device is attached to which is not
    /// VFIO's. (Those that [`Container::attach`], [`Member::replace`] and [`Member::attach_pasid`]
    /// take are among them anyway.)
    ///
    /// # Errors
    /// [`Error::OtherTable`]; [`Error::Discarding`]; while dirty pages are tracked, the kernel's
    /// refusal to; [`Error::Unsupported`] without
    /// [`Capabilities::nesting`](super::Capabilities::nesting).
    fn include(&self, table: &Arc<Hwpt>) -> Result<IncludedTable, Error>;

    /// Returns what proves that a hot reset is the owner's, as [`Device::hot_reset`] takes it: with
    /// type1 the open files of all affected groups, with iommufd nothing, since the kernel looks
    /// itself whether all affected devices belong to one iommufd.
    ///
    /// ```no_run
    /// # use passthru_vfio::container::{Container, Error, Member};
    /// # fn with(container: &dyn Container, member: &Member) -> Result<(), Error> {
    /// let affected = member.device().hot_reset_info()?;
    /// let proof = container.hot_reset_proof(&affected)?;
    /// member.device().hot_reset(&proof.files())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotOwned`] with the devices that are somebody else's, or nobody's.
    fn hot_reset_proof(&self, affected: &HotResetInfo) -> Result<HotResetProof, Error>;

    /// Returns whether the guest's memory may be discarded beside the devices that are attached,
    /// here and in the other containers of the guest.
    fn discards(&self) -> &Discards;
}
