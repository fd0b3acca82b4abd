//! Linux `/dev/iommu`, safe: the context that devices and address spaces belong to.
//!
//! So far what a manager needs that opens the context for somebody else: opening it, making sure that
//! a descriptor is one, and the accounting of pinned memory. It knows no VFIO device and no
//! hypervisor.

mod context;
mod sys;

pub use context::{Accounting, Error, Iommufd, PATH};
