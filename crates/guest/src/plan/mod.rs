//! Decisions about a start, made before anything changes: what is opened under which number, what
//! the VMM may pin, and the steps of a dry run.

pub(crate) mod handover;
pub(crate) mod memlock;
pub(crate) mod start_plan;
pub(crate) mod step;
