//! Decisions about a start, made before anything changes: the numbers of descriptors, the limit on
//! pinned memory, and the operations.

pub(crate) mod attach_plan;
pub(crate) mod detach_plan;
pub(crate) mod handover;
pub(crate) mod hotplug;
pub(crate) mod memlock;
pub(crate) mod nvme;
pub(crate) mod plug_ops;
pub(crate) mod start_ops;
pub(crate) mod start_plan;
pub(crate) mod type1;
