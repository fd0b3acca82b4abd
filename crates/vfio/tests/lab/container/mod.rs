//! What one backend alone does, and which is chosen.

mod choice;
mod containers;
mod groups;
mod iommufd;
pub(crate) mod mock;
