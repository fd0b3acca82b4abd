//! The backend `type1`: `/dev/vfio/vfio` with its IOMMU groups.

mod container;
mod group;
mod info;
mod link;
mod shared;

pub use container::Type1Container;
pub use group::Group;
pub use info::{Dirty, Info};
pub(super) use link::{Link, unsupported};
pub(super) use shared::Shown;
