//! The backend `iommufd`: an I/O address space of `/dev/iommu`, its page tables, and the devices
//! that are attached to them.

mod container;
mod link;
mod pasid;
mod tables;

pub use container::IommufdContainer;
pub(super) use link::Link;
pub use pasid::MemberPasid;
pub use tables::Included;
