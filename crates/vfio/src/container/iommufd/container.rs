//! [`IommufdContainer`]: a container over an I/O address space of `/dev/iommu`.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use passthru_iommufd::{Hwpt, Iommufd, Iova};
use rustix::io::Errno;

use super::member::{AttachGuards, IommufdMember};
use super::tables::{IncludedTable, Tables};
use crate::Failed;
use crate::container::bitmap::check_bitmap;
use crate::container::blocker::blockers_of;
use crate::container::kvm::Registration;
use crate::container::member::MemberBackend;
use crate::container::unmap::{may_have_taken_effect, unmap_certainly};
use crate::container::{
    Access, AttachOptions, Backend, BarMapping, Candidate, Capabilities, Container, DirtyRange,
    Discards, Dma, Error, HotResetProof, Ioas, IovaRanges, KvmVfio, Member,
};
use crate::device::{self, Bound, Cdev, HotResetInfo, HotResetOwner, Location, Source};

/// A container over an I/O address space of an iommufd. Several containers on one iommufd can share
/// their pins.
///
/// If the IOMMU of a device tracks dirty pages, then the device is attached to a page table that
/// does. Devices share such tables if their IOMMUs allow it. Any other device is attached to the
/// address space itself.
#[derive(Debug)]
pub struct IommufdContainer {
    ioas: Arc<Ioas>,
    tables: Arc<Tables>,
    kvm: Option<Arc<dyn KvmVfio>>,
    discards: Discards,
}

impl IommufdContainer {
    /// Creates an empty container on an iommufd.
    ///
    /// # Errors
    /// The error of [`Ioas::alloc`].
    pub fn new(context: &Arc<Iommufd>, kvm: Option<Arc<dyn KvmVfio>>) -> Result<Self, Error> {
        Ok(Self::from_ioas(Arc::new(Ioas::alloc(context)?), kvm))
    }

    /// Creates a container over an existing I/O address space.
    pub fn from_ioas(ioas: Arc<Ioas>, kvm: Option<Arc<dyn KvmVfio>>) -> Self {
        let tables = Arc::new(Tables::new(Arc::clone(&ioas)));
        let discards = Discards::default();
        tables.set_discards(discards.clone());
        Self {
            tables,
            ioas,
            kvm,
            discards,
        }
    }

    /// Sets the registry in which this container records its pins. Call it before a device is
    /// attached.
    pub fn with_discards(self, discards: Discards) -> Self {
        self.tables.set_discards(discards.clone());
        Self { discards, ..self }
    }

    /// Opens a device, registers it with KVM, and binds it.
    fn bind(
        &self,
        source: Source,
        options: &AttachOptions,
    ) -> Result<(Bound, AttachGuards), Failed<Candidate, Error>> {
        let cdev = open(source)?;
        let guards = match self.prepare(cdev.as_fd(), cdev.location()) {
            Ok(guards) => guards,
            Err(error) => {
                return Err(Failed {
                    state: unbound(cdev),
                    error,
                });
            }
        };
        match cdev.bind(self.ioas.context(), options.token) {
            Ok(bound) => Ok((bound, guards)),
            Err(Failed { state, error }) => {
                let error = not_viable(&state, &error).unwrap_or_else(|| error.into());
                Err(Failed {
                    state: unbound(state),
                    error,
                })
            }
        }
    }

    /// Records the pins of a device, and registers its file with KVM.
    fn prepare(&self, file: BorrowedFd<'_>, device: &Location) -> Result<AttachGuards, Error> {
        let pins = self.discards.pin_for(device)?;
        Ok(AttachGuards {
            _registration: Registration::new(self.kvm.as_ref(), file)?,
            _pins: pins,
        })
    }

    /// Converts the result of a map. After an `EFAULT`, which may have taken effect, unmaps the
    /// range.
    fn mapped(
        &self,
        iova: u64,
        length: u64,
        result: Result<u64, passthru_iommufd::Error>,
    ) -> Result<(), Error> {
        let Err(error) = result else { return Ok(()) };
        if !may_have_taken_effect(error.io()) {
            return Err(error.into());
        }
        match unmap_certainly(
            || self.ioas.unmap(iova, length),
            passthru_iommufd::Error::io,
        ) {
            Err(unmap) => Err(Error::PerhapsMapped {
                iova,
                length,
                map: Box::new(error),
                source: Box::new(unmap),
            }),
            Ok(()) => Err(error.into()),
        }
    }
}

impl Container for IommufdContainer {
    fn attach(
        &self,
        device: Candidate,
        options: AttachOptions,
    ) -> Result<Member, Failed<Candidate, Error>> {
        let (bound, guards) = match device {
            Candidate::Source(source) => self.bind(source, &options)?,
            Candidate::Bound(bound) => {
                match self.prepare(bound.device().as_fd(), bound.device().location()) {
                    Ok(guards) => (bound, guards),
                    Err(error) => {
                        return Err(Failed {
                            state: bound.into(),
                            error,
                        });
                    }
                }
            }
        };
        match self.tables.attach(bound, options.target) {
            Ok((attached, guard)) => {
                let member = IommufdMember {
                    attached,
                    guard,
                    _guards: guards,
                };
                Ok(Member(MemberBackend::Iommufd(Box::new(member))))
            }
            Err(Failed { state, error }) => Err(Failed {
                state: state.into(),
                error,
            }),
        }
    }

    fn include(&self, table: &Arc<Hwpt>) -> Result<IncludedTable, Error> {
        self.tables.include(table)
    }

    fn hot_reset_proof(&self, affected: &HotResetInfo) -> Result<HotResetProof, Error> {
        if affected.owned == Some(true) {
            return Ok(HotResetProof::default());
        }
        let foreign = affected
            .devices
            .iter()
            .filter(|device| device.owner == HotResetOwner::NotOwned);
        Err(Error::NotOwned {
            devices: foreign.map(|device| device.address.to_string()).collect(),
        })
    }

    fn discards(&self) -> &Discards {
        &self.discards
    }
}

#[allow(unsafe_code, reason = "callers free memory by the results")]
// SAFETY: the results are the kernel's, for the one address space that this container keeps. The
// kernel unmaps whole mappings; a map whose result it cannot return fails with `EFAULT`.
unsafe impl Dma for IommufdContainer {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            map_file: true,
            dirty_tracking: true,
            dirty_without_clear: true,
            bar_mapping: BarMapping::DmaBuf,
            without_devices: true,
            copy: true,
            nesting: true,
            pasid: true,
            ..Capabilities::minimal(Backend::Iommufd)
        }
    }

    unsafe fn map(
        &self,
        memory: *mut u8,
        length: u64,
        iova: u64,
        access: Access,
    ) -> Result<(), Error> {
        // SAFETY: the caller fulfils the same contract.
        let result = unsafe { self.ioas.map(memory, length, Iova::At(iova), access) };
        self.mapped(iova, length, result)
    }

    fn map_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        iova: u64,
        access: Access,
    ) -> Result<(), Error> {
        let result = self
            .ioas
            .map_file(file, offset, length, Iova::At(iova), access);
        self.mapped(iova, length, result)
    }

    fn unmap(&self, iova: u64, length: u64) -> Result<u64, Error> {
        Ok(self.ioas.unmap(iova, length)?)
    }

    fn unmap_all(&self) -> Result<u64, Error> {
        Ok(self.ioas.unmap_all()?)
    }

    fn iova_ranges(&self) -> Result<IovaRanges, Error> {
        Ok(self.ioas.iova_ranges()?)
    }

    fn page_sizes(&self) -> Result<u64, Error> {
        let smallest = self
            .ioas
            .iova_ranges()?
            .alignment
            .max(rustix::param::page_size() as u64);
        Ok(!(smallest - 1))
    }

    fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        self.tables.set_dirty_tracking(on)
    }

    fn dirty_pages(&self, range: DirtyRange, clear: bool, bitmap: &mut [u64]) -> Result<(), Error> {
        check_bitmap(range, bitmap)?;
        for table in self.tables.tracking()? {
            table.dirty_bitmap(range, clear, bitmap)?;
        }
        Ok(())
    }

    fn unmap_dirty(&self, range: DirtyRange, bitmap: &mut [u64]) -> Result<u64, Error> {
        self.dirty_pages(range, false, bitmap)?;
        self.unmap(range.iova, range.length)
    }

    fn ioas(&self) -> Option<&Arc<Ioas>> {
        Some(&self.ioas)
    }
}

/// Opens a device. If a passed descriptor is refused, then a copy of it comes back.
fn open(source: Source) -> Result<Cdev, Failed<Candidate, Error>> {
    let copy = match &source {
        Source::Fd(fd) => match fd.try_clone() {
            Ok(copy) => Source::Fd(copy),
            Err(error) => {
                return Err(Failed {
                    state: source.into(),
                    error: Error::Copy { source: error },
                });
            }
        },
        Source::Cdev(path) => Source::Cdev(path.clone()),
        Source::Pci(address) => Source::Pci(*address),
        Source::Sysfs(path) => Source::Sysfs(path.clone()),
    };
    source.open().map_err(|error| Failed {
        state: copy.into(),
        error: error.into(),
    })
}

/// Returns the devices that keep the group from being viable, if `EPERM` was for their sake.
fn not_viable(cdev: &Cdev, error: &device::Error) -> Option<Error> {
    if error.errno() != Some(Errno::PERM) {
        return None;
    }
    let group = cdev.location().group()?;
    let blockers = blockers_of(group);
    (!blockers.is_empty()).then_some(Error::NotViable { group, blockers })
}

/// Returns a device that was opened and not bound.
fn unbound(cdev: Cdev) -> Candidate {
    Candidate::Source(Source::Fd(cdev.into()))
}
