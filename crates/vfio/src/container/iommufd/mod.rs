//! The backend `iommufd`: an I/O address space of `/dev/iommu`, its page tables, and the devices
//! that are attached to them.

mod container;
mod member;
mod pasid;
mod table_set;
mod tables;

pub use container::IommufdContainer;
pub(super) use member::IommufdMember;
pub use pasid::MemberPasid;
pub use tables::IncludedTable;
