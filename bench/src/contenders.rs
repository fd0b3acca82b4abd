//! [`Contenders`]: implementations of map and unmap, each with a device that reaches the mappings.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use iommufd_bindings::iommufd::{
    IOMMUFD_CMD_IOAS_MAP, IOMMUFD_CMD_IOAS_UNMAP, IOMMUFD_TYPE, iommu_ioas_map, iommu_ioas_unmap,
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_FIXED_IOVA as FIXED_IOVA,
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_READABLE as READABLE,
    iommufd_ioas_map_flags_IOMMU_IOAS_MAP_WRITEABLE as WRITEABLE,
};
use iommufd_ioctls::IommuFd;
use passthru_iommufd::{Accounting, Iommufd};
use passthru_lab::devices::{CMB_NVME, IGB, NVME};
use passthru_vfio::container::{
    Access, AttachOptions, Backend, Container, Dma, IommufdContainer, Member, Type1Container,
};
use passthru_vfio::device::Source;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::process::{Gid, Resource, Rlimit, Uid, setrlimit};
use rustix::thread::{set_thread_gid, set_thread_uid};
use vfio_ioctls::{VfioDevice, VfioIommufd};

use crate::User;

/// The contenders with their devices and address spaces.
pub(crate) struct Contenders {
    context: Arc<Iommufd>,
    container: Arc<IommufdContainer>,
    type1: Arc<Type1Container>,
    peers: Arc<VfioIommufd>,
    _members: [Member; 2],
    theirs: VfioDevice,
    second: Arc<IommufdContainer>,
}

/// An implementation of map and unmap.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contender {
    Ours,
    Direct,
    Peers,
}

pub(crate) const CONTENDERS: [Contender; 3] =
    [Contender::Ours, Contender::Direct, Contender::Peers];

const MAP: Opcode = opcode::none(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP as u8);
const UNMAP: Opcode = opcode::none(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_UNMAP as u8);

/// Limit on pinned memory of the unprivileged process, in bytes.
const MEMLOCK: u64 = 8 << 30;

impl Contenders {
    /// Opens the devices as root, and then becomes the measuring user.
    pub(crate) fn open(user: User) -> Result<Self> {
        let context = Iommufd::open()?;
        if user == User::Nobody {
            context.set_accounting(Accounting::Process)?;
        }
        let context = Arc::new(context);
        let container = Arc::new(IommufdContainer::new(&context, None)?);
        let device = Source::Pci(NVME.parse()?);
        let ours = container
            .attach(device.into(), AttachOptions::default())
            .map_err(|failed| failed.error)?;
        let type1 = Arc::new(Type1Container::open(None)?);
        let device = Source::Pci(IGB.parse()?);
        let by_type1 = type1
            .attach(device.into(), AttachOptions::default())
            .map_err(|failed| failed.error)?;
        let same = File::from(context.as_fd().try_clone_to_owned()?);
        let peers = VfioIommufd::new(Arc::new(IommuFd::new_from_fd(same)), None, None);
        let peers = Arc::new(peers.map_err(|e| anyhow!("{e:?}"))?);
        let sysfs = Path::new("/sys/bus/pci/devices").join(CMB_NVME);
        let theirs =
            VfioDevice::new(&sysfs, Arc::clone(&peers) as _, true).map_err(|e| anyhow!("{e:?}"))?;
        let second = Arc::new(IommufdContainer::new(&context, None)?);
        if user == User::Nobody {
            become_nobody()?;
        }
        let members = [ours, by_type1];
        Ok(Self {
            context,
            container,
            type1,
            peers,
            _members: members,
            theirs,
            second,
        })
    }

    /// Returns the container of a backend.
    pub(crate) fn container(&self, backend: Backend) -> Arc<dyn Dma> {
        match backend {
            Backend::Iommufd => Arc::clone(&self.container) as _,
            Backend::Type1 => Arc::clone(&self.type1) as _,
        }
    }

    /// Returns another container on the same iommufd. The peers' device is attached to it.
    pub(crate) fn second(&self) -> Result<Arc<IommufdContainer>> {
        let ioas = self.second.ioas().context("no I/O address space")?.id();
        self.theirs
            .attach_hwpt(ioas)
            .map_err(|e| anyhow!("{e:?}"))?;
        Ok(Arc::clone(&self.second))
    }

    /// Maps memory by a contender.
    ///
    /// # Safety
    /// The contract is that of [`Dma::map`].
    #[inline]
    pub(crate) unsafe fn map(
        &self,
        contender: Contender,
        memory: *mut u8,
        length: u64,
        iova: u64,
    ) -> Result<()> {
        // SAFETY: this function has the same contract as each of these.
        unsafe {
            match contender {
                Contender::Ours => {
                    let dma: &dyn Dma = &*self.container;
                    dma.map(memory, length, iova, Access::ReadWrite)?;
                }
                Contender::Direct => self.direct_map(memory, length, iova)?,
                Contender::Peers => {
                    let answer = self.peers.vfio_dma_map(iova, length as usize, memory);
                    answer.map_err(|e| anyhow!("{e:?}"))?;
                }
            }
        }

        Ok(())
    }

    /// Unmaps memory by a contender.
    #[inline]
    pub(crate) fn unmap(&self, contender: Contender, iova: u64, length: u64) -> Result<()> {
        match contender {
            Contender::Ours => {
                let dma: &dyn Dma = &*self.container;
                dma.unmap(iova, length)?;
            }
            Contender::Direct => self.direct_unmap(iova, length)?,
            Contender::Peers => {
                self.peers
                    .vfio_dma_unmap(iova, length as usize)
                    .map_err(|e| anyhow!("{e:?}"))?;
            }
        }

        Ok(())
    }

    fn ioas(&self) -> u32 {
        self.container.ioas().map_or(0, |ioas| ioas.id())
    }

    unsafe fn direct_map(&self, memory: *mut u8, length: u64, iova: u64) -> Result<()> {
        let mut arg = iommu_ioas_map {
            size: size_of::<iommu_ioas_map>() as u32,
            flags: READABLE | WRITEABLE | FIXED_IOVA,
            ioas_id: self.ioas(),
            user_va: memory as u64,
            length,
            iova,
            ..Default::default()
        };
        // SAFETY: the request's struct; the caller's contract allows the use of the memory.
        unsafe { ioctl(self.context.as_fd(), Updater::<MAP, _>::new(&mut arg)) }
            .context("IOMMU_IOAS_MAP")
    }

    fn direct_unmap(&self, iova: u64, length: u64) -> Result<()> {
        let size = size_of::<iommu_ioas_unmap>() as u32;
        let mut arg = iommu_ioas_unmap {
            size,
            ioas_id: self.ioas(),
            iova,
            length,
        };
        // SAFETY: the request's struct; no addresses.
        unsafe { ioctl(self.context.as_fd(), Updater::<UNMAP, _>::new(&mut arg)) }
            .context("IOMMU_IOAS_UNMAP")
    }
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Direct => "direct",
            Self::Peers => "peers",
        }
    }
}

/// Drops all privileges of the calling thread, the only one.
fn become_nobody() -> Result<()> {
    setrlimit(
        Resource::Memlock,
        Rlimit {
            current: Some(MEMLOCK),
            maximum: Some(MEMLOCK),
        },
    )?;
    set_thread_gid(Gid::from_raw(65534))?;
    set_thread_uid(Uid::from_raw(65534))?;
    Ok(())
}
