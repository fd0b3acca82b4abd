//! [`Type1Container`]: a container over `/dev/vfio/vfio` and IOMMU groups.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use passthru_iommufd::Hwpt;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use vfio_bindings::bindings::vfio::{VFIO_API_VERSION, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL};

use super::Type1Info;
use super::member::{Type1Member, unsupported};
use super::open_container::{GroupProof, OpenContainer};
use crate::Failed;
use crate::container::bitmap::{add_bits, check_bitmap};
use crate::container::member::MemberBackend;
use crate::container::{
    Access, AttachOptions, Backend, Candidate, Capabilities, Container, DirtyRange, Discards, Dma,
    Error, HotResetProof, IncludedTable, Ioas, IovaRanges, KvmVfio, Member,
};
use crate::device::{Device, HotResetInfo, HotResetOwner, Source};
use crate::sys;

const PATH: &str = "/dev/vfio/vfio";

/// Number of an extension that VFIO does not define. A device that claims it is not VFIO.
const NO_EXTENSION: u32 = 0x7fff_ffff;

/// Required extensions. The second needs Linux 5.12.
const NEEDED: [(u32, &str); 2] = [
    (VFIO_TYPE1v2_IOMMU, "VFIO_TYPE1v2_IOMMU"),
    (VFIO_UNMAP_ALL, "VFIO_UNMAP_ALL"),
];

/// A container over `/dev/vfio/vfio`, for one or several IOMMU groups.
///
/// It has an IOMMU, and so mappings, only while a group is in it.
#[derive(Debug)]
pub struct Type1Container {
    shared: Arc<OpenContainer>,
    discards: Discards,
}

impl Type1Container {
    /// Opens `/dev/vfio/vfio` as an empty container.
    ///
    /// # Errors
    /// - If it cannot be opened, [`Error::Open`].
    /// - If it does not behave as VFIO, [`Error::NotVfio`].
    /// - If an extension is missing, [`Error::NoType1`].
    pub fn open(kvm: Option<Arc<dyn KvmVfio>>) -> Result<Self, Error> {
        Self::open_at(Path::new(PATH), kvm)
    }

    /// Opens an empty container at another path, for example in a mount namespace.
    ///
    /// # Errors
    /// As for [`Type1Container::open`].
    pub fn open_at(path: &Path, kvm: Option<Arc<dyn KvmVfio>>) -> Result<Self, Error> {
        let fd =
            rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|e| {
                Error::Open {
                    path: path.into(),
                    source: e.into(),
                }
            })?;
        let missing = missing_extension(fd.as_fd()).map_err(|e| Error::NotVfio {
            path: path.into(),
            expected: "container",
            source: e.into(),
        })?;
        if let Some(extension) = missing {
            return Err(Error::NoType1 { extension });
        }
        Ok(Self {
            shared: Arc::new(OpenContainer::new(fd, kvm)),
            discards: Discards::default(),
        })
    }

    /// Sets the registry in which this container records its pins. Call it before a device is
    /// attached.
    pub fn with_discards(self, discards: Discards) -> Self {
        Self { discards, ..self }
    }

    /// Returns the page sizes, usable IOVAs and limits of the container (`VFIO_IOMMU_GET_INFO`).
    ///
    /// # Errors
    /// - If no group is in the container, [`Error::NoDevice`].
    /// - If the kernel refuses, [`Error::Info`].
    /// - If the reply is malformed, [`Error::BadInfo`].
    pub fn info(&self) -> Result<Type1Info, Error> {
        match sys::type1::info(self.as_fd()) {
            Ok((raw, reply)) => {
                Type1Info::parse(&raw, &reply).map_err(|source| Error::BadInfo { source })
            }
            Err(Errno::INVAL) => Err(Error::NoDevice),
            Err(e) => Err(Error::Info { source: e.into() }),
        }
    }

    /// Returns the numbers of the groups that are in the container.
    pub fn groups(&self) -> Vec<u32> {
        self.shared
            .joined()
            .iter()
            .map(|joined| joined.group().number())
            .collect()
    }

    fn attach_source(
        &self,
        source: &Source,
        options: &AttachOptions,
    ) -> Result<Type1Member, Error> {
        if matches!(source, Source::Fd(_)) {
            return Err(unsupported(
                "take a passed character device: it opens groups",
            ));
        }

        if options.target.is_some() {
            return Err(unsupported(
                "attach a device to anything but its own mappings",
            ));
        }

        let location = source.locate()?;
        let number = location.group().ok_or_else(|| Error::NoGroup {
            device: location.name(),
        })?;
        let pins = self.discards.pin_for(&location)?;
        let joined = self.shared.join(number, pins)?;
        let fd = joined.group().device(&location, options.token)?;
        // Each handle of the device keeps the group in the container.
        let device = Device::new(fd, location, joined.clone());
        Ok(Type1Member::new(device, joined))
    }

    /// Returns whether no group is in the container. It then has no IOMMU, and the kernel returns
    /// `EINVAL` for all calls that need one.
    fn is_empty(&self) -> bool {
        sys::type1::info(self.as_fd()).is_err_and(|e| e == Errno::INVAL)
    }

    /// Converts the result of an unmap. If nothing was mapped there, fails with `ENOENT`, as
    /// iommufd does.
    fn unmapped(&self, iova: u64, length: u64, result: Result<u64, Errno>) -> Result<u64, Error> {
        let result = match result {
            Ok(0) => Err(Errno::NOENT),
            Err(Errno::INVAL) if self.is_empty() => Err(Errno::NOENT),
            result => result,
        };
        result.map_err(|e| Error::Unmap {
            iova,
            length,
            source: e.into(),
        })
    }
}

impl Container for Type1Container {
    fn attach(
        &self,
        device: Candidate,
        options: AttachOptions,
    ) -> Result<Member, Failed<Candidate, Error>> {
        let result = match &device {
            Candidate::Source(source) => self.attach_source(source, &options),
            Candidate::Bound(_) => Err(unsupported("take a device that is bound to an iommufd")),
        };
        match result {
            Ok(link) => Ok(Member(MemberBackend::Type1(link))),
            Err(error) => Err(Failed {
                state: device,
                error,
            }),
        }
    }

    fn include(&self, _: &Arc<Hwpt>) -> Result<IncludedTable, Error> {
        Err(unsupported("use page tables of the caller"))
    }

    fn hot_reset_proof(&self, affected: &HotResetInfo) -> Result<HotResetProof, Error> {
        let joined = self.shared.joined();
        let mut groups = BTreeMap::new();
        let mut not_owned = Vec::new();
        for device in &affected.devices {
            let owner = joined
                .iter()
                .find(|joined| device.owner == HotResetOwner::Group(joined.group().number()));
            match owner {
                Some(joined) => _ = groups.insert(joined.group().number(), Arc::clone(joined)),
                None => not_owned.push(device.address.to_string()),
            }
        }

        if !not_owned.is_empty() {
            return Err(Error::NotOwned { devices: not_owned });
        }
        Ok(HotResetProof {
            groups: groups.into_values().map(GroupProof::new).collect(),
        })
    }

    fn discards(&self) -> &Discards {
        &self.discards
    }
}

#[allow(unsafe_code, reason = "callers free memory by the results")]
// SAFETY: the results are the kernel's. The kernel unmaps whole mappings, and returns 0 bytes (here
// `NotFound`) if nothing is mapped. A map returns nothing that could be lost. There is no address
// space of iommufd.
unsafe impl Dma for Type1Container {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            dirty_tracking: true,
            max_mappings: Some(self.shared.max_mappings()),
            ..Capabilities::minimal(Backend::Type1)
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
        unsafe { sys::type1::map(self.as_fd(), memory as u64, length, iova, access) }.map_err(|e| {
            match e {
                Errno::INVAL if self.is_empty() => Error::NoDevice,
                e => Error::Map {
                    iova,
                    length,
                    source: e.into(),
                },
            }
        })
    }

    fn map_file(&self, _: BorrowedFd<'_>, _: u64, _: u64, _: u64, _: Access) -> Result<(), Error> {
        Err(unsupported(
            "map a file other than by its address in the process",
        ))
    }

    fn unmap(&self, iova: u64, length: u64) -> Result<u64, Error> {
        self.unmapped(iova, length, sys::type1::unmap(self.as_fd(), iova, length))
    }

    fn unmap_all(&self) -> Result<u64, Error> {
        match sys::type1::unmap_all(self.as_fd()) {
            Err(Errno::INVAL) if self.is_empty() => Ok(0),
            result => result.map_err(|e| Error::Unmap {
                iova: 0,
                length: u64::MAX,
                source: e.into(),
            }),
        }
    }

    fn iova_ranges(&self) -> Result<IovaRanges, Error> {
        let info = self.info()?;
        Ok(IovaRanges {
            ranges: info.ranges,
            alignment: 1 << info.page_sizes.trailing_zeros().min(63),
        })
    }

    fn page_sizes(&self) -> Result<u64, Error> {
        Ok(self.info()?.page_sizes)
    }

    fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        sys::type1::set_dirty_tracking(self.as_fd(), on).map_err(|e| match e {
            Errno::INVAL if self.is_empty() => Error::NoDevice,
            e => Error::DirtyTracking {
                on,
                source: e.into(),
            },
        })
    }

    fn dirty_pages(&self, range: DirtyRange, clear: bool, bitmap: &mut [u64]) -> Result<(), Error> {
        if !clear {
            return Err(unsupported("report dirty pages without clearing them"));
        }
        let mut words = vec![0; check_bitmap(range, bitmap)?];
        let result = sys::type1::dirty_bitmap(self.as_fd(), range, &mut words);
        // Pages that were read before a failure are clean now.
        add_bits(bitmap, 0, &words);
        result.map_err(|e| Error::DirtyPages {
            iova: range.iova,
            length: range.length,
            page_size: range.page_size,
            source: e.into(),
        })
    }

    fn unmap_dirty(&self, range: DirtyRange, bitmap: &mut [u64]) -> Result<u64, Error> {
        let mut words = vec![0; check_bitmap(range, bitmap)?];
        let result = sys::type1::unmap_dirty(self.as_fd(), range, &mut words);
        // Mappings that were gone before a failure have reported their dirty pages too.
        add_bits(bitmap, 0, &words);
        self.unmapped(range.iova, range.length, result)
    }

    fn ioas(&self) -> Option<&Arc<Ioas>> {
        None
    }
}

impl AsFd for Type1Container {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.as_fd()
    }
}

/// Returns the name of a required extension that is missing. Fails if the file is not VFIO's, which
/// its name alone does not prove.
fn missing_extension(fd: BorrowedFd<'_>) -> Result<Option<&'static str>, Errno> {
    let version = sys::type1::api_version(fd)?;
    if version != VFIO_API_VERSION || sys::type1::has_extension(fd, NO_EXTENSION)? {
        return Err(Errno::NOTTY);
    }
    for (extension, name) in NEEDED {
        if !sys::type1::has_extension(fd, extension)? {
            return Ok(Some(name));
        }
    }

    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_of_another_driver_is_not_a_container() {
        let error = Type1Container::open_at(Path::new("/dev/null"), None).unwrap_err();
        assert!(matches!(error, Error::NotVfio { .. }), "{error}");
        let error = Type1Container::open_at(Path::new("/dev/vfio/none"), None).unwrap_err();
        assert!(matches!(error, Error::Open { .. }), "{error}");
    }
}
