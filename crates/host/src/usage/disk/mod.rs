//! Usage of block devices: mounts, swap, loop devices, kernel targets and exclusive claims.

mod block;
mod block_device;
mod exclusive;
mod loops;
pub(crate) mod mounts;
pub(crate) mod stack;
mod survey;
mod targets;

pub(crate) use block::block_usages;
pub use exclusive::HeldDisks;
pub(crate) use survey::DiskSurvey;
pub(crate) use targets::KernelTarget;
