//! IOMMU groups: devices that the IOMMU cannot tell apart, so that they leave the host together.

mod companion;
#[expect(
    clippy::module_inception,
    reason = "the file is named after its object"
)]
mod group;
mod node;
mod viability;

pub use companion::Companion;
pub use node::VfioNode;
