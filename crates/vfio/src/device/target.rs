//! [`Target`]: the address space or page table that a device is attached to.

use std::sync::Arc;

use passthru_iommufd::{Hwpt, Ioas, Iommufd};

/// Address space or page table that a device is attached to. An attached device keeps its target.
#[derive(Clone, Debug)]
pub enum Target {
    /// An address space. The kernel makes the page table.
    Ioas(Arc<Ioas>),
    /// A page table.
    Hwpt(Arc<Hwpt>),
}

impl Target {
    /// Returns the kernel's id of the target.
    pub fn id(&self) -> u32 {
        match self {
            Self::Ioas(ioas) => ioas.id(),
            Self::Hwpt(hwpt) => hwpt.id(),
        }
    }

    /// Returns the iommufd that the target belongs to.
    pub fn context(&self) -> &Arc<Iommufd> {
        match self {
            Self::Ioas(ioas) => ioas.context(),
            Self::Hwpt(hwpt) => hwpt.context(),
        }
    }
}

impl From<Arc<Ioas>> for Target {
    fn from(ioas: Arc<Ioas>) -> Self {
        Self::Ioas(ioas)
    }
}

impl From<Arc<Hwpt>> for Target {
    fn from(hwpt: Arc<Hwpt>) -> Self {
        Self::Hwpt(hwpt)
    }
}
