//! [`Type1Container`]: the backend over `/dev/vfio/vfio` and IOMMU groups.

mod group;
mod info;
mod map;

pub use group::Group;
pub(super) use group::blockers_of;
pub use info::{Dirty, Info};

use super::discards::Pins;
use super::kvm::Registration;
use super::member::{HotResetProof, Way};
use super::{Attach, Backend, Candidate, Container, Discards, Error, Included, KvmVfio, Member};
use crate::Failed;
use crate::device::{Device, HotReset, Owner, Source};
use crate::sys;
use passthru_iommufd::Hwpt;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use vfio_bindings::bindings::vfio::{VFIO_API_VERSION, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL};

const PATH: &str = "/dev/vfio/vfio";

/// No extension of VFIO: whoever has it says yes to anything.
const NO_EXTENSION: u32 = 0x7fff_ffff;

/// The extensions that there must be. The second is of Linux 5.12.
const NEEDED: [(u32, &str); 2] = [
    (VFIO_TYPE1v2_IOMMU, "VFIO_TYPE1v2_IOMMU"),
    (VFIO_UNMAP_ALL, "VFIO_UNMAP_ALL"),
];

/// What the kernel's `dma_entry_limit` is unless it was changed.
const DMA_ENTRY_LIMIT: u32 = u16::MAX as u32;

/// A container of type1. Several IOMMU groups can be in one. It has an IOMMU, and so mappings,
/// while a group is in it.
#[derive(Debug)]
pub struct Type1Container {
    shared: Arc<Shared>,
    discards: Discards,
}

#[derive(Debug)]
struct Shared {
    fd: OwnedFd,
    kvm: Option<Arc<dyn KvmVfio>>,
    joined: Mutex<Vec<Weak<Joined>>>,
    /// How many mappings there can be at a time.
    max_mappings: AtomicU32,
}

/// A group in a container, which it leaves when this is dropped. The devices of the group keep it.
/// The fields are dropped in this order.
#[derive(Debug)]
pub(super) struct Joined {
    _registration: Option<Registration>,
    group: Group,
    /// One for each proof that has its file.
    proofs: Arc<()>,
    /// The container pins for the group. Named by the first device; a mediated device's group has
    /// none.
    _pins: Option<Pins>,
    _container: Arc<Shared>,
}

/// A group whose file proves something, and which therefore stays.
#[derive(Debug)]
pub(super) struct Shown {
    joined: Arc<Joined>,
    _counted: Arc<()>,
}

/// A device in a container.
#[derive(Debug)]
pub(super) struct Link {
    device: Device,
    joined: Arc<Joined>,
}

impl Type1Container {
    /// Opens an empty container, once the kernel has answered as VFIO with a type1 IOMMU does.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::NotVfio`], [`Error::NoType1`].
    pub fn open(kvm: Option<Arc<dyn KvmVfio>>) -> Result<Self, Error> {
        Self::open_at(Path::new(PATH), kvm)
    }

    /// Opens one at another path, as in a namespace of its own.
    ///
    /// # Errors
    /// As [`Type1Container::open`].
    pub fn open_at(path: &Path, kvm: Option<Arc<dyn KvmVfio>>) -> Result<Self, Error> {
        let fd =
            rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|e| {
                Error::Open {
                    path: path.into(),
                    source: e.into(),
                }
            })?;
        let not = |e: Errno| Error::NotVfio {
            path: path.into(),
            what: "container",
            source: e.into(),
        };
        if let Some(extension) = missing(fd.as_fd()).map_err(not)? {
            return Err(Error::NoType1 { extension });
        }
        let max_mappings = AtomicU32::new(DMA_ENTRY_LIMIT);
        let shared = Arc::new(Shared {
            fd,
            kvm,
            joined: Mutex::default(),
            max_mappings,
        });
        Ok(Self {
            shared,
            discards: Discards::default(),
        })
    }

    /// Has it tell there who pins memory.
    pub fn with_discards(self, discards: Discards) -> Self {
        Self { discards, ..self }
    }

    /// Returns what the container says of itself (`VFIO_IOMMU_GET_INFO`).
    ///
    /// # Errors
    /// [`Error::NoDevice`], [`Error::Info`], [`Error::BadInfo`].
    pub fn info(&self) -> Result<Info, Error> {
        match sys::type1::info(self.as_fd()) {
            Ok((raw, answer)) => {
                Info::parse(&raw, &answer).map_err(|source| Error::BadInfo { source })
            }
            Err(Errno::INVAL) => Err(Error::NoDevice),
            Err(e) => Err(Error::Info { source: e.into() }),
        }
    }

    /// Returns the numbers of the groups that are in it.
    pub fn groups(&self) -> Vec<u32> {
        self.shared
            .joined()
            .iter()
            .map(|joined| joined.group.number())
            .collect()
    }

    fn attach_source(&self, source: &Source, how: &Attach) -> Result<Link, Error> {
        if matches!(source, Source::Fd(_)) {
            return Err(cannot("take a passed character device: it opens groups"));
        }
        if how.target.is_some() {
            return Err(cannot("attach a device to anything but its own mappings"));
        }
        let location = source.locate()?;
        let number = location.group().ok_or_else(|| Error::NoGroup {
            device: location.name(),
        })?;
        let pins = self.discards.pin_for(&location)?;
        let joined = self.shared.join(number, pins)?;
        let fd = joined.group.device(&location, how.token)?;
        // The group stays for as long as any handle of the device does.
        let device = Device::new(fd, location, joined.clone());
        Ok(Link { device, joined })
    }
}

impl Container for Type1Container {
    fn attach(&self, device: Candidate, how: Attach) -> Result<Member, Failed<Candidate, Error>> {
        let result = match &device {
            Candidate::Source(source) => self.attach_source(source, &how),
            Candidate::Bound(_) => Err(cannot("take a device that is bound to an iommufd")),
        };
        match result {
            Ok(link) => Ok(Member(Way::Type1(link))),
            Err(error) => Err(Failed {
                state: device,
                error,
            }),
        }
    }

    fn include(&self, _: &Arc<Hwpt>) -> Result<Included, Error> {
        Err(cannot("use page tables of the caller"))
    }

    fn hot_reset_proof(&self, affected: &HotReset) -> Result<HotResetProof, Error> {
        let is_affected = |group| {
            affected
                .devices
                .iter()
                .any(|device| device.owner == Owner::Group(group))
        };
        let mut groups = self.shared.joined();
        groups.retain(|joined| is_affected(joined.group.number()));
        let is_here = |owner| {
            groups
                .iter()
                .any(|joined| owner == Owner::Group(joined.group.number()))
        };
        let foreign = affected
            .devices
            .iter()
            .filter(|device| !is_here(device.owner));
        let devices: Vec<_> = foreign.map(|device| device.address.to_string()).collect();
        if !devices.is_empty() {
            return Err(Error::NotOwned { devices });
        }
        Ok(HotResetProof {
            groups: groups.into_iter().map(Shown::new).collect(),
        })
    }

    fn discards(&self) -> &Discards {
        &self.discards
    }
}

impl Shared {
    /// Returns the groups that are in it now.
    fn joined(&self) -> Vec<Arc<Joined>> {
        let joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes a group in, unless it is in already.
    fn join(self: &Arc<Self>, number: u32, pins: Option<Pins>) -> Result<Arc<Joined>, Error> {
        let mut all = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        let present = all
            .iter()
            .filter_map(Weak::upgrade)
            .find(|joined| joined.group.number() == number);
        if let Some(joined) = present {
            return Ok(joined);
        }
        let joined = Arc::new(self.join_new(number, pins)?);
        all.retain(|joined| joined.strong_count() > 0);
        all.push(Arc::downgrade(&joined));
        Ok(joined)
    }

    /// Takes a group in, which leaves it again, with its file, where a step fails.
    fn join_new(self: &Arc<Self>, number: u32, pins: Option<Pins>) -> Result<Joined, Error> {
        let group = Group::open(number)?;
        group.check_viable()?;
        group.set_container(self.fd.as_fd())?;
        self.have_iommu(number)?;
        let registration = Registration::new(self.kvm.as_ref(), group.as_fd())?;
        Ok(Joined {
            _registration: registration,
            group,
            proofs: Arc::new(()),
            _pins: pins,
            _container: Arc::clone(self),
        })
    }

    /// Gives it an IOMMU with its first group (`VFIO_SET_IOMMU`): the second version of type1,
    /// whose unmapping never takes more than was named.
    fn have_iommu(&self, group: u32) -> Result<(), Error> {
        let fd = self.fd.as_fd();
        if !matches!(sys::type1::info(fd), Err(Errno::INVAL)) {
            return Ok(());
        }
        sys::type1::set_iommu(fd, VFIO_TYPE1v2_IOMMU).map_err(|e| Error::Join {
            group,
            call: "VFIO_SET_IOMMU",
            source: e.into(),
        })?;
        // Nothing is mapped yet: as many as are left can be at all.
        let info = sys::type1::info(fd)
            .ok()
            .and_then(|(raw, answer)| Info::parse(&raw, &answer).ok());
        let left = info
            .and_then(|info| info.mappings_left)
            .unwrap_or(DMA_ENTRY_LIMIT);
        self.max_mappings.store(left, Ordering::Relaxed);
        Ok(())
    }
}

impl Shown {
    fn new(joined: Arc<Joined>) -> Self {
        Self {
            _counted: Arc::clone(&joined.proofs),
            joined,
        }
    }

    pub(super) fn group(&self) -> &Group {
        &self.joined.group
    }
}

impl Link {
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Closes the device. It is attached for as long as its file is open, so no other handle may be
    /// there; and its group stays for as long as a proof has its file.
    pub(super) fn detach(self) -> Result<Source, Failed<Self, Error>> {
        if self.device.is_shared() || Arc::strong_count(&self.joined.proofs) > 1 {
            let device = self.device.name();
            return Err(Failed {
                state: self,
                error: Error::InUse { device },
            });
        }
        Ok(Source::Sysfs(self.device.location().sysfs().into()))
    }
}

impl AsFd for Type1Container {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }
}

/// What type1 cannot do.
pub(super) fn cannot(what: &'static str) -> Error {
    Error::Unsupported {
        backend: Backend::Type1,
        what,
    }
}

/// Asks whether it is VFIO, and which of the extensions that this needs is not there. That there is
/// a node of the right name proves nothing.
fn missing(fd: BorrowedFd<'_>) -> Result<Option<&'static str>, Errno> {
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
    fn a_node_that_is_something_else_is_found_out() {
        let error = Type1Container::open_at(Path::new("/dev/null"), None).unwrap_err();
        assert!(matches!(error, Error::NotVfio { .. }), "{error}");
        let error = Type1Container::open_at(Path::new("/dev/vfio/none"), None).unwrap_err();
        assert!(matches!(error, Error::Open { .. }), "{error}");
    }
}
