//! [`Failed`]: the error of a step, with the state before the step.

use std::error::Error;
use std::fmt;

/// Error of a step from one state to another. The former state comes back to the caller, unchanged.
///
/// ```no_run
/// # use passthru_vfio::{Failed, device::{Bound, Error, Target}};
/// # fn with(bound: Bound, first: Target, second: Target) -> Result<(), Error> {
/// let attached = bound.attach(first).or_else(|Failed { state, .. }| state.attach(second))?;
/// # drop(attached);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Failed<T, E> {
    /// State before the step.
    pub state: T,
    /// Error of the step.
    pub error: E,
}

impl<T, E: fmt::Display> fmt::Display for Failed<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: fmt::Debug, E: Error> Error for Failed<T, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl<T> From<Failed<T, Self>> for crate::device::Error {
    fn from(failed: Failed<T, Self>) -> Self {
        failed.error
    }
}

impl<T> From<Failed<T, Self>> for crate::container::Error {
    fn from(failed: Failed<T, Self>) -> Self {
        failed.error
    }
}
