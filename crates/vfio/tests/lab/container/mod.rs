//! What one backend alone does, and which is chosen.

mod choice;
mod groups;
mod iommufd;
mod mock;
