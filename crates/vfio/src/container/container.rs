//! [`Container`]: mappings with the devices that reach them.

use std::sync::Arc;

use passthru_iommufd::Hwpt;

use super::{AttachOptions, Candidate, Discards, Dma, Error, HotResetProof, IncludedTable, Member};
use crate::Failed;
use crate::device::HotResetInfo;

/// DMA mappings, and the devices that reach them.
pub trait Container: Dma {
    /// Opens a device, unless it is bound already, and attaches it. From then on, the device
    /// reaches all that is mapped.
    ///
    /// type1 opens the device's group and adds it to the container, unless the group is there
    /// already.
    ///
    /// # Errors
    /// The error of the step that failed, for example [`Error::NotViable`] if the group has devices
    /// on other drivers. Earlier steps are undone. The device comes back in the state that it has
    /// then:
    /// - A device that was bound comes back as [`Candidate::Bound`].
    /// - A device that is open comes back as [`Source::Fd`](crate::device::Source::Fd).
    fn attach(
        &self,
        device: Candidate,
        options: AttachOptions,
    ) -> Result<Member, Failed<Candidate, Error>>;

    /// Includes a page table over this container's address space in its dirty tracking, until the
    /// returned value is dropped.
    ///
    /// This is for a table with a device that VFIO does not manage. Tables that
    /// [`Container::attach`], [`Member::replace`] and [`Member::attach_pasid`] attach to are
    /// included already.
    ///
    /// # Errors
    /// - [`Error::OtherTable`], if the table is over another address space.
    /// - [`Error::Discarding`], while memory is discarded.
    /// - If dirty pages are tracked and the table cannot track them, the kernel's errno.
    /// - [`Error::Unsupported`], without [`Capabilities::nesting`](super::Capabilities::nesting).
    fn include(&self, table: &Arc<Hwpt>) -> Result<IncludedTable, Error>;

    /// Returns the proof of ownership that [`Device::hot_reset`](crate::device::Device::hot_reset)
    /// takes.
    ///
    /// With type1 the proof is the open files of all affected groups. With iommufd it is empty: the
    /// kernel itself checks that all affected devices belong to one iommufd.
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
    /// [`Error::NotOwned`] with the devices that belong to someone else, or to no one.
    fn hot_reset_proof(&self, affected: &HotResetInfo) -> Result<HotResetProof, Error>;

    /// Returns the registry of those that pin or discard the guest's memory, which all containers
    /// of the guest share.
    fn discards(&self) -> &Discards;
}
