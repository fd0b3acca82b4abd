//! Claims: the exclusive right of one process to change a device, and the changes themselves.

#[expect(clippy::module_inception, reason = "the file is named after its type")]
mod claim;
mod claims;
mod lock;
mod observe;
mod owner;
mod plan;
mod step;
mod switch;
#[cfg(test)]
mod tests;
mod virtual_function;
mod virtual_functions;
mod vmm_hold;

pub use claim::Claim;
pub use lock::{LockError, lock_as, lock_owner};
pub use owner::Owner;
pub use step::{DriverStep, StepState};
pub use virtual_function::VirtualFunction;
