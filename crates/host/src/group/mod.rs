//! IOMMU groups: devices that the IOMMU cannot tell apart, so that they leave the host together.

mod viability;

pub use viability::Companion;
pub(crate) use viability::NO_IOMMU_GROUP;
