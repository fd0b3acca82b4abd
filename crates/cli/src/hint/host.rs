//! Hints for errors of the host.

use passthru_host::Error as HostError;

/// Returns the hint for an error of the host.
pub(crate) fn host_hint(error: &HostError) -> Option<String> {
    error.hint()
}
