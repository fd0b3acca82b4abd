//! The messages of a guest's VMM, in the loop of the guest.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::guest::Guest;
use crate::vmm_log::VmmLog;

impl Guest {
    /// Returns the descriptor of the VMM's messages. If it is readable, call
    /// [`Guest::handle_log`]. `None` while no message is taken.
    pub fn log_fd(&self) -> Option<BorrowedFd<'_>> {
        self.machine.log().and_then(VmmLog::poll_fd)
    }

    /// Returns the time at which to call [`Guest::handle_log`] for a VMM that writes too much.
    pub fn log_deadline(&self) -> Option<Instant> {
        self.machine.log().and_then(VmmLog::deadline)
    }

    /// Takes some messages of the VMM, and logs them. Does not wait.
    pub fn handle_log(&mut self) {
        if let Some(log) = self.machine.vmm().log_mut() {
            log.ready();
        }
    }
}
