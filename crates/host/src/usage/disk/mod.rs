//! HostSurvey of block devices: mounts, swap, loop devices, kernel targets and exclusive claims.

pub(crate) mod block;
mod exclusive;
pub(crate) mod loops;
pub(crate) mod mounts;
pub(crate) mod stack;
pub(crate) mod targets;

pub(crate) use exclusive::HeldDisks;
