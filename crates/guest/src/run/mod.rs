//! A guest that runs: its VMM, its monitor, its folder, its end, and what a dead one leaves.

pub(crate) mod dead_guest;
pub(crate) mod forget;
pub(crate) mod guest;
pub(crate) mod leftovers;
pub(crate) mod machine;
pub(crate) mod messages;
pub(crate) mod state;
pub(crate) mod vmm;
