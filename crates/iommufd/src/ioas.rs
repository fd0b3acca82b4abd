//! [`Ioas`]: an I/O address space, which maps memory to IOVAs for devices.

use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::Arc;

use iommufd_bindings::iommufd::{
    iommu_iova_range, iommufd_option_IOMMU_OPTION_HUGE_PAGES as HUGE_PAGES,
    iommufd_option_ops_IOMMU_OPTION_OP_GET as GET, iommufd_option_ops_IOMMU_OPTION_OP_SET as SET,
    iommufd_vfio_ioas_op_IOMMU_VFIO_IOAS_SET as VFIO_IOAS_SET,
};
use rustix::io::Errno;

use crate::access::Access;
use crate::device::check_same_context;
use crate::iova::{Iova, IovaRanges, PhysicalRange};
use crate::mapping::Mapping;
use crate::memory::DmaMemory;
use crate::object::Object;
use crate::{Error, Iommufd, sys};

/// An I/O address space (IOAS): mappings of memory to IOVAs, in force for all attached devices.
///
/// Holds its context open. Drop destroys the I/O address space with its mappings, and logs a
/// failure; [`Ioas::close`] returns the failure.
#[derive(Debug)]
pub struct Ioas {
    object: Object,
}

impl Ioas {
    /// Allocates an empty I/O address space (`IOMMU_IOAS_ALLOC`).
    ///
    /// # Errors
    /// - [`Error::Alloc`]: if the kernel is out of memory, `ENOMEM`.
    pub fn alloc(context: &Arc<Iommufd>) -> Result<Self, Error> {
        let id =
            sys::ioas::alloc(context.as_fd()).map_err(|e| Error::Alloc { source: e.into() })?;
        Ok(Self {
            object: Object::new(Arc::clone(context), id),
        })
    }

    /// Returns the kernel's id, which is unique in the context.
    pub fn id(&self) -> u32 {
        self.object.id()
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    /// Returns the context that the I/O address space belongs to.
    pub fn context(&self) -> &Arc<Iommufd> {
        self.object.context()
    }

    /// Destroys the I/O address space and its mappings (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// - [`Error::Destroy`]: if a device or a page table uses the I/O address space, `EBUSY`. It
    ///   then lasts until the context ends.
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }

    /// Maps `length` bytes of this process's memory, starting at `address`, and returns their IOVA
    /// (`IOMMU_IOAS_MAP`).
    ///
    /// The kernel pins and charges the memory when the first device is attached, or at once if one
    /// is attached. [`Ioas::map_memory`] and [`Ioas::map_file`] are safe alternatives.
    ///
    /// # Safety
    /// The obligations last from this call until the memory is unmapped here and in every I/O
    /// address space that it was copied to ([`Ioas::copy_from`]). A successful [`Ioas::close`] ends
    /// them too; a drop does not, since its failure is only logged.
    /// - The memory stays mapped in this process at this address. (The kernel remembers the
    ///   address. A device attached later would otherwise reach whatever is mapped there by then.)
    /// - If devices may write, the program makes no `&T` or `&mut T` to the memory. If devices may
    ///   only read, it makes no `&mut T`. All access is by raw pointers or atomics, since devices
    ///   change the memory at any time.
    ///
    /// # Errors
    /// [`Error::Map`]:
    /// - If the IOVA is mapped already, `EEXIST`.
    /// - If the IOVA or length is misaligned or outside the usable ranges, `EINVAL`.
    /// - If no gap in the usable ranges is large enough, `ENOSPC`.
    /// - If the memory is not present, or not writable as requested, `EFAULT`.
    /// - If `RLIMIT_MEMLOCK` is exceeded, `ENOMEM`.
    #[allow(
        unsafe_code,
        reason = "a device writes to the memory that is named by its address"
    )]
    pub unsafe fn map(
        &self,
        address: *mut u8,
        length: u64,
        iova: Iova,
        access: Access,
    ) -> Result<u64, Error> {
        let ioas = self.id();
        let flags = access.flags() | iova.flags();
        let address = address as u64;
        // SAFETY: this function has the same contract.
        unsafe { sys::ioas::map(self.object.fd(), ioas, flags, address, length, iova.value()) }
            .map_err(|e| Error::Map {
                ioas,
                address,
                length,
                iova,
                access,
                source: e.into(),
            })
    }

    /// Maps memory that the returned [`Mapping`] holds until it is unmapped (`IOMMU_IOAS_MAP`).
    ///
    /// # Errors
    /// [`Error::Map`]:
    /// - If the IOVA is mapped already, `EEXIST`.
    /// - If the IOVA is misaligned or outside the usable ranges, `EINVAL`.
    /// - If no gap in the usable ranges is large enough, `ENOSPC`.
    /// - If `RLIMIT_MEMLOCK` is exceeded, `ENOMEM`.
    pub fn map_memory(
        self: &Arc<Self>,
        memory: &Arc<DmaMemory>,
        iova: Iova,
        access: Access,
    ) -> Result<Mapping, Error> {
        Mapping::new(self, memory, iova, access)
    }

    /// Maps `length` bytes of a memfd or a dma-buf, starting at `offset`, and returns their IOVA
    /// (`IOMMU_IOAS_MAP_FILE`).
    ///
    /// The kernel holds the file itself; no address of this process is involved. Linux 7.3 checks
    /// neither seals nor the open mode of the file: devices can write to a file that is open for
    /// reading only.
    ///
    /// # Errors
    /// [`Error::MapFile`]:
    /// - If the IOVA is mapped already, `EEXIST`.
    /// - If the file is not a memfd or a dma-buf, or does not hold the range, `EINVAL`.
    /// - If the IOVA is misaligned or outside the usable ranges, `EINVAL`.
    /// - If the exporter of the dma-buf has revoked its memory, `ENODEV`.
    /// - If `RLIMIT_MEMLOCK` is exceeded, `ENOMEM`.
    pub fn map_file(
        &self,
        file: impl AsFd,
        offset: u64,
        length: u64,
        iova: Iova,
        access: Access,
    ) -> Result<u64, Error> {
        let ioas = self.id();
        let flags = access.flags() | iova.flags();
        sys::ioas::map_file(
            self.object.fd(),
            ioas,
            flags,
            file.as_fd(),
            offset,
            length,
            iova.value(),
        )
        .map_err(|e| Error::MapFile {
            ioas,
            offset,
            length,
            iova,
            access,
            source: e.into(),
        })
    }

    /// Maps the memory that `from` has at `from_iova` into this I/O address space too, and returns
    /// its IOVA here (`IOMMU_IOAS_COPY`).
    ///
    /// The memory is pinned and charged once for both. The range may be part of a mapping or span
    /// adjacent mappings. The source may be unmapped afterwards.
    ///
    /// # Safety
    /// The obligations of [`Ioas::map`] for the memory in the range last until the memory is
    /// unmapped here too.
    ///
    /// # Errors
    /// - [`Error::OtherContext`]: if the two do not belong to one context.
    ///
    /// [`Error::Copy`]:
    /// - If part of the source range is not mapped, `ENOENT`.
    /// - If the copy would allow writing and the source does not, `EPERM`.
    /// - If the IOVA is mapped already, `EEXIST`.
    /// - If the IOVA is misaligned or outside the usable ranges, `EINVAL`.
    #[allow(
        unsafe_code,
        reason = "a device writes to the memory that is named by its IOVA"
    )]
    pub unsafe fn copy_from(
        &self,
        from: &Ioas,
        from_iova: u64,
        length: u64,
        iova: Iova,
        access: Access,
    ) -> Result<u64, Error> {
        let ioas = self.id();
        let from_id = from.id();
        check_same_context((self.context(), ioas), (from.context(), from_id))?;
        let flags = access.flags() | iova.flags();
        let source = sys::ioas::CopySource {
            ioas: from_id,
            iova: from_iova,
            length,
        };
        // SAFETY: this function has the same contract.
        unsafe { sys::ioas::copy(self.object.fd(), source, ioas, flags, iova.value()) }.map_err(
            |e| Error::Copy {
                from: from_id,
                from_iova,
                length,
                ioas,
                iova,
                access,
                source: e.into(),
            },
        )
    }

    /// Unmaps all mappings within `length` bytes from `iova`, and returns the number of bytes
    /// unmapped (`IOMMU_IOAS_UNMAP`).
    ///
    /// Gaps are skipped. A mapping is unmapped as a whole: if the range cuts one, the call fails,
    /// but mappings before the cut one are gone already.
    ///
    /// # Errors
    /// [`Error::Unmap`]:
    /// - If nothing is mapped in the range, or the range cuts a mapping, `ENOENT`.
    /// - If a [`HwQueue`](crate::HwQueue) uses a mapping, `EBUSY`.
    pub fn unmap(&self, iova: u64, length: u64) -> Result<u64, Error> {
        let ioas = self.id();
        sys::ioas::unmap(self.object.fd(), ioas, iova, length).map_err(|e| Error::Unmap {
            ioas,
            iova,
            length,
            source: e.into(),
        })
    }

    /// Unmaps everything, and returns the number of bytes unmapped, which may be 0
    /// (`IOMMU_IOAS_UNMAP`).
    ///
    /// # Errors
    /// - [`Error::Unmap`]: if a [`HwQueue`](crate::HwQueue) uses a mapping, `EBUSY`.
    pub fn unmap_all(&self) -> Result<u64, Error> {
        self.unmap(0, u64::MAX)
    }

    /// Returns the IOVAs that can be used now (`IOMMU_IOAS_IOVA_RANGES`).
    ///
    /// An attached device narrows the ranges: query them again after each attach.
    ///
    /// # Errors
    /// - [`Error::IovaRanges`]: if the kernel is out of memory, `ENOMEM`.
    pub fn iova_ranges(&self) -> Result<IovaRanges, Error> {
        let mut buffer = vec![iommu_iova_range::default(); 8];
        loop {
            let (answer, count, alignment) =
                sys::ioas::iova_ranges(self.object.fd(), self.id(), &mut buffer);
            match answer {
                Ok(()) => {
                    let ranges = buffer
                        .iter()
                        .take(count)
                        .map(|range| range.start..=range.last)
                        .collect();
                    return Ok(IovaRanges { ranges, alignment });
                }
                Err(Errno::MSGSIZE) => buffer.resize(count, iommu_iova_range::default()),
                Err(e) => {
                    return Err(Error::IovaRanges {
                        ioas: self.id(),
                        source: e.into(),
                    });
                }
            }
        }
    }

    /// Reserves ranges of IOVAs for mappings (`IOMMU_IOAS_ALLOW_IOVAS`).
    ///
    /// From now on, the attach of a device that cannot use all of them fails, and [`Iova::Any`]
    /// chooses from them only. The ranges replace those of an earlier call; an empty list removes
    /// the restriction.
    ///
    /// # Errors
    /// [`Error::AllowIovas`]:
    /// - If an attached device cannot use all of the ranges, `EADDRINUSE`.
    /// - If a range has one byte, is reversed or overlaps another, `EINVAL`.
    pub fn allow_iovas(&self, ranges: &[RangeInclusive<u64>]) -> Result<(), Error> {
        let structs = ranges.iter().map(|range| iommu_iova_range {
            start: *range.start(),
            last: *range.end(),
        });
        let raw: Vec<_> = structs.collect();
        let ioas = self.id();
        sys::ioas::allow_iovas(self.object.fd(), ioas, &raw).map_err(|e| Error::AllowIovas {
            ioas,
            ranges: ranges.to_vec(),
            source: e.into(),
        })
    }

    /// Returns whether page tables may use huge pages (`IOMMU_OPTION_HUGE_PAGES`). The default is
    /// yes.
    ///
    /// # Errors
    /// - [`Error::HugePages`]: if the kernel cannot read the option.
    pub fn huge_pages(&self) -> Result<bool, Error> {
        self.call_huge_pages_option(GET, None)
            .map(|value| value != 0)
    }

    /// Allows or forbids huge pages in page tables (`IOMMU_OPTION_HUGE_PAGES`).
    ///
    /// Without huge pages, dirty tracking resolves single pages, and [`Ioas::copy_from`] can copy
    /// any page.
    ///
    /// # Errors
    /// - [`Error::HugePages`]: if huge pages are forbidden while memory is mapped for a device,
    ///   `EINVAL`.
    pub fn set_huge_pages(&self, allowed: bool) -> Result<(), Error> {
        self.call_huge_pages_option(SET, Some(allowed)).map(|_| ())
    }

    fn call_huge_pages_option(&self, op: u32, to: Option<bool>) -> Result<u64, Error> {
        let ioas = self.id();
        sys::option(
            self.object.fd(),
            HUGE_PAGES,
            op,
            ioas,
            to.unwrap_or_default().into(),
        )
        .map_err(|e| Error::HugePages {
            ioas,
            to,
            source: e.into(),
        })
    }

    /// Returns the physical memory behind `iova`, at most `length` bytes that are physically
    /// contiguous (`IOMMU_IOAS_NOIOMMU_GET_PA`, Linux 7.3).
    ///
    /// The result may be shorter than `length`, if physical memory or the mapping ends; call again
    /// for the rest.
    ///
    /// A userspace driver programs a device without an IOMMU with this address, since the device's
    /// DMA is not translated. The address is valid while `iova` stays mapped and the device stays
    /// attached.
    ///
    /// The call grants no DMA: it only reads the location of mapped memory, and requires
    /// `CAP_SYS_RAWIO`. A device without an IOMMU must never be handed to a guest, whose DMA would
    /// reach all memory of the host.
    ///
    /// # Errors
    /// [`Error::NoiommuGetPa`]:
    /// - If the kernel is older than 7.3, `ENOTTY`.
    /// - If the kernel lacks `CONFIG_IOMMUFD_NOIOMMU` (which `CONFIG_VFIO_NOIOMMU` selects),
    ///   `EOPNOTSUPP`.
    /// - If the caller lacks `CAP_SYS_RAWIO`, `EPERM`.
    /// - If `length` is 0, or the dma-buf at `iova` was revoked, `EINVAL`.
    /// - If `iova` is `u64::MAX`, `EOVERFLOW`.
    /// - If `iova` is not mapped, `ENOENT`.
    /// - If no device without an IOMMU is attached, or one with an IOMMU was attached first,
    ///   `EOPNOTSUPP`.
    pub fn noiommu_get_pa(&self, iova: u64, length: u64) -> Result<PhysicalRange, Error> {
        let ioas = self.id();
        let (address, length) = sys::ioas::noiommu_get_pa(self.object.fd(), ioas, iova, length)
            .map_err(|e| Error::NoiommuGetPa {
                ioas,
                iova,
                length,
                source: e.into(),
            })?;
        Ok(PhysicalRange { address, length })
    }

    /// Makes this the I/O address space that VFIO's container interface uses on the context
    /// (`IOMMU_VFIO_IOAS_SET`).
    ///
    /// # Errors
    /// - [`Error::CompatIoas`]: if the kernel refuses.
    pub fn set_compat(&self) -> Result<(), Error> {
        let id = self.id();
        sys::vfio_ioas(self.object.fd(), VFIO_IOAS_SET, id)
            .map(|_| ())
            .map_err(|e| Error::CompatIoas {
                ioas: Some(id),
                source: e.into(),
            })
    }
}
