//! [`Ioas`]: an I/O address space, which says what memory devices reach at which IOVA.

use std::fmt;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::Arc;

use iommufd_bindings::iommufd::{
    iommu_iova_range, iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA as FIXED_IOVA,
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE as READABLE,
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE as WRITEABLE,
    iommufd_option_IOMMU_OPTION_HUGE_PAGES as HUGE_PAGES,
    iommufd_option_ops_IOMMU_OPTION_OP_GET as GET, iommufd_option_ops_IOMMU_OPTION_OP_SET as SET,
    iommufd_vfio_ioas_op_IOMMU_VFIO_IOAS_SET as VFIO_IOAS_SET,
};
use rustix::io::Errno;

use crate::device::same_context;
use crate::mapping::Mapping;
use crate::memory::DmaMemory;
use crate::object::Object;
use crate::{Error, Iommufd, sys};

/// An I/O address space (IOAS): mappings of memory to IOVAs, which are in force for the devices
/// that are attached to it. It keeps its context open, and is destroyed, with its mappings, on
/// drop; a failure of that is logged, and [`Ioas::close`] gives it.
///
/// ```no_run
/// use passthru_iommufd::{Access, DmaMemory, Ioas, Iommufd, Iova};
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), passthru_iommufd::Error> {
/// let context = Arc::new(Iommufd::open()?);
/// let ioas = Arc::new(Ioas::alloc(&context)?);
/// let memory = Arc::new(DmaMemory::alloc(1 << 20)?);
/// // A device that is attached now or later reaches the memory there.
/// let mapping = ioas.map_memory(&memory, Iova::Any, Access::ReadWrite)?;
/// assert!(ioas.iova_ranges()?.ranges.iter().any(|range| range.contains(&mapping.iova())));
/// mapping.unmap()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Ioas {
    object: Object,
}

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iova {
    /// Wherever the kernel finds a gap in the usable ranges; with allowed ranges, in these.
    Any,
    /// At this IOVA, which must be free (`IOMMU_IOAS_MAP_FIXED_IOVA`).
    At(u64),
}

/// What a device may do with mapped memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it (`IOMMU_IOAS_MAP_READABLE`).
    Read,
    /// Write it (`IOMMU_IOAS_MAP_WRITEABLE`).
    Write,
    /// Both.
    ReadWrite,
}

/// The IOVAs that an I/O address space can use at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IovaRanges {
    /// The ranges, in rising order.
    pub ranges: Vec<RangeInclusive<u64>>,
    /// What IOVAs and lengths must be multiples of, in bytes: a power of two, at most a page.
    pub alignment: u64,
}

/// Physical memory behind an IOVA, of devices without an IOMMU ([`Ioas::noiommu_get_pa`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalRange {
    /// First physical address.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
}

impl Ioas {
    /// Allocates an empty I/O address space (`IOMMU_IOAS_ALLOC`).
    ///
    /// # Errors
    /// [`Error::Alloc`].
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

    /// Returns the context that it belongs to.
    pub fn context(&self) -> &Arc<Iommufd> {
        self.object.context()
    }

    /// Destroys it with its mappings (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// [`Error::Destroy`] where a device or a page table uses it still: it then stays in the kernel
    /// until the context ends.
    pub fn close(self) -> Result<(), Error> {
        self.object.close()
    }

    /// Maps `length` bytes of this process's memory, from `address` on, and returns their IOVA
    /// (`IOMMU_IOAS_MAP`). [`Ioas::map_memory`] and [`Ioas::map_file`] are the safe ways.
    ///
    /// The memory is pinned, and charged, when the first device is attached, or at once if there is
    /// one.
    ///
    /// # Safety
    /// From this call until the IOVAs are unmapped, here and wherever they are copied to, or each
    /// such I/O address space is destroyed (which [`Ioas::close`] tells, and drop does not):
    /// - the memory stays mapped in this process, at this address. (The kernel remembers the
    ///   address: what takes the memory's place would be what a device that is attached later reads
    ///   and writes.)
    /// - where devices may write, the program makes no `&T` or `&mut T` to any of it; where they
    ///   may only read, no `&mut T`. It is accessed by raw pointers, as memory that others change
    ///   at any time.
    ///
    /// # Errors
    /// [`Error::Map`].
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
        let (ioas, flags, address) = (self.id(), access.flags() | iova.flags(), address as u64);
        // SAFETY: the caller's contract is the same.
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

    /// Maps memory that the mapping keeps until it is unmapped (`IOMMU_IOAS_MAP`).
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn map_memory(
        self: &Arc<Self>,
        memory: &Arc<DmaMemory>,
        iova: Iova,
        access: Access,
    ) -> Result<Mapping, Error> {
        Mapping::new(self, memory, iova, access)
    }

    /// Maps `length` bytes of a memfd or a dma-buf from `offset` on, and returns their IOVA
    /// (`IOMMU_IOAS_MAP_FILE`). The kernel holds the file itself, and no address of this process is
    /// involved. Linux 7.3 asks neither whether the file is open for writing nor whether it is
    /// sealed before it lets a device write to it.
    ///
    /// # Errors
    /// [`Error::MapFile`].
    pub fn map_file(
        &self,
        file: impl AsFd,
        offset: u64,
        length: u64,
        iova: Iova,
        access: Access,
    ) -> Result<u64, Error> {
        let (ioas, flags) = (self.id(), access.flags() | iova.flags());
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

    /// Maps the memory that another I/O address space of the same context has at `from_iova`, and
    /// returns its IOVA here (`IOMMU_IOAS_COPY`). The memory is pinned and charged once for both.
    /// The range may be a part of a mapping, or go over several that lie side by side. The source
    /// may then be unmapped.
    ///
    /// # Safety
    /// As for [`Ioas::map`], for the memory in the range: its obligations last until it is unmapped
    /// here too.
    ///
    /// # Errors
    /// [`Error::Copy`]; [`Error::OtherContext`].
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
        let (ioas, flags, from_id) = (self.id(), access.flags() | iova.flags(), from.id());
        same_context((self.context(), ioas), (from.context(), from_id))?;
        let source = sys::ioas::Source {
            ioas: from_id,
            iova: from_iova,
            length,
        };
        // SAFETY: the caller's contract is the same.
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

    /// Unmaps all mappings in `length` bytes from `iova` on, and returns how many bytes that were
    /// (`IOMMU_IOAS_UNMAP`). Gaps are skipped. A mapping goes as a whole: where the range cuts one,
    /// this fails, and mappings before that one are gone already.
    ///
    /// # Errors
    /// [`Error::Unmap`], also where nothing is mapped there.
    pub fn unmap(&self, iova: u64, length: u64) -> Result<u64, Error> {
        let ioas = self.id();
        sys::ioas::unmap(self.object.fd(), ioas, iova, length).map_err(|e| Error::Unmap {
            ioas,
            iova,
            length,
            source: e.into(),
        })
    }

    /// Unmaps everything, and returns how many bytes that were; 0 where nothing was mapped
    /// (`IOMMU_IOAS_UNMAP`).
    ///
    /// # Errors
    /// [`Error::Unmap`].
    pub fn unmap_all(&self) -> Result<u64, Error> {
        self.unmap(0, u64::MAX)
    }

    /// Returns the IOVAs that can be used now (`IOMMU_IOAS_IOVA_RANGES`). Attached devices narrow
    /// them, so they are asked for again after each attach.
    ///
    /// # Errors
    /// [`Error::IovaRanges`].
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

    /// Keeps these IOVAs usable: a device that cannot use all of them is refused from now on, and
    /// [`Iova::Any`] stays in them. They replace those of the call before; none allows all
    /// (`IOMMU_IOAS_ALLOW_IOVAS`).
    ///
    /// # Errors
    /// [`Error::AllowIovas`] where a device that is attached already cannot use them, or where
    /// ranges are of one byte, upside down, or overlap.
    pub fn allow_iovas(&self, ranges: &[RangeInclusive<u64>]) -> Result<(), Error> {
        let raw: Vec<_> = ranges
            .iter()
            .map(|r| iommu_iova_range {
                start: *r.start(),
                last: *r.end(),
            })
            .collect();
        let ioas = self.id();
        sys::ioas::allow_iovas(self.object.fd(), ioas, &raw).map_err(|e| Error::AllowIovas {
            ioas,
            ranges: ranges.to_vec(),
            source: e.into(),
        })
    }

    /// Returns whether the page tables may use huge pages (`IOMMU_OPTION_HUGE_PAGES`). They may at
    /// first.
    ///
    /// # Errors
    /// [`Error::HugePages`].
    pub fn huge_pages(&self) -> Result<bool, Error> {
        self.huge_pages_option(GET, None).map(|value| value != 0)
    }

    /// Allows or forbids huge pages in the page tables (`IOMMU_OPTION_HUGE_PAGES`). Without them
    /// dirty tracking sees single pages, and a copy can be of any page.
    ///
    /// # Errors
    /// [`Error::HugePages`] where they are forbidden while memory is mapped for a device.
    pub fn set_huge_pages(&self, allowed: bool) -> Result<(), Error> {
        self.huge_pages_option(SET, Some(allowed)).map(|_| ())
    }

    fn huge_pages_option(&self, op: u32, to: Option<bool>) -> Result<u64, Error> {
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

    /// Returns the physical memory behind `iova`: at most `length` bytes, which lie side by side
    /// (`IOMMU_IOAS_NOIOMMU_GET_PA`, Linux 7.3). Both are in bytes. The result may be shorter than
    /// `length`, where physical memory or the mapping ends; call this again for the rest.
    ///
    /// A driver in user space needs the address to program a device without an IOMMU, whose DMA is
    /// not translated. The address is right for as long as `iova` stays mapped and that device
    /// stays attached.
    ///
    /// This crate offers the call since it grants no DMA: it only reads where mapped memory lies,
    /// and the kernel asks for `CAP_SYS_RAWIO`. Such a device must never go to a guest, whose DMA
    /// would reach all memory of the host. `passthru-vfio` therefore refuses to open one; the
    /// driver opens and binds it by itself.
    ///
    /// # Errors
    /// [`Error::NoiommuGetPa`]:
    /// - If the kernel is older than 7.3, `ENOTTY`.
    /// - If the kernel lacks `CONFIG_IOMMUFD_NOIOMMU` (which `CONFIG_VFIO_NOIOMMU` selects),
    ///   `EOPNOTSUPP`.
    /// - If the caller lacks `CAP_SYS_RAWIO`, `EPERM`.
    /// - If `length` is 0, or `iova` is in a dma-buf whose memory was taken away, `EINVAL`.
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

    /// Makes it the one that VFIO's container interface uses on this context
    /// (`IOMMU_VFIO_IOAS_SET`).
    ///
    /// # Errors
    /// [`Error::CompatIoas`].
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

impl Iova {
    fn flags(self) -> u32 {
        match self {
            Self::Any => 0,
            Self::At(_) => FIXED_IOVA,
        }
    }

    fn value(self) -> u64 {
        match self {
            Self::Any => 0,
            Self::At(iova) => iova,
        }
    }
}

impl fmt::Display for Iova {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any IOVA"),
            Self::At(iova) => write!(f, "IOVA {iova:#x}"),
        }
    }
}

impl Access {
    fn flags(self) -> u32 {
        match self {
            Self::Read => READABLE,
            Self::Write => WRITEABLE,
            Self::ReadWrite => READABLE | WRITEABLE,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "for reading",
            Self::Write => "for writing",
            Self::ReadWrite => "for reading and writing",
        })
    }
}
