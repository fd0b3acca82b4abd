//! The backend `type1`: `/dev/vfio/vfio` with its IOMMU groups.

mod container;
mod group;
mod info;
mod member;
mod open_container;

pub use container::Type1Container;
pub use group::Group;
pub use info::{DirtyBitmapLimits, Type1Info};
pub(super) use member::{Type1Member, unsupported};
pub(super) use open_container::GroupProof;
