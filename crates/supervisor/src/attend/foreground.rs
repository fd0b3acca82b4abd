//! What stands before the supervisor: a user's terminal, or the signals alone.

use std::os::fd::BorrowedFd;

use passthru_guest::EndingNotice;
use rustix::event::PollFlags;

/// Part of the loop that belongs to the user who started the supervisor.
pub trait Foreground {
    /// Returns the descriptors to wait for, each with a number of this part's own.
    fn poll_entries(&self) -> Vec<(usize, BorrowedFd<'_>, PollFlags)>;

    /// Handles the events of one turn of the loop. `ready` has the numbers of the descriptors that
    /// have an event, and can be empty. Returns whether the user asks for the guest's end.
    fn handle(&mut self, ready: &[usize]) -> bool;

    /// Tells the user about the end of the guest.
    fn tell(&mut self, notice: EndingNotice);

    /// Returns whether the guest's console is here.
    fn has_console(&self) -> bool;

    /// Gives the guest's console up, for a client that takes it by force.
    fn leave_console(&mut self);

    /// Shows what the guest and the VMM wrote last, now that the VMM has ended.
    fn finish(&mut self);
}
