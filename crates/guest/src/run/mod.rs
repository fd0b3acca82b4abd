//! A guest that runs: its VMM, its monitor, its folder, its end, and what a dead one leaves.

pub(crate) mod adopt;
pub(crate) mod connection;
pub(crate) mod console;
pub(crate) mod control_socket;
pub(crate) mod dead_guest;
mod device_change;
pub(crate) mod ending;
pub(crate) mod exit_status;
pub(crate) mod folder;
pub(crate) mod forget;
pub(crate) mod guest;
pub(crate) mod machine;
mod messages;
pub(crate) mod recover;
pub(crate) mod vmm;
