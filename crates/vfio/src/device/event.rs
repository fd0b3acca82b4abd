//! [`Event`]: an eventfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// An eventfd, which counts its signals.
#[derive(Debug)]
pub struct Event(OwnedFd);

impl Event {
    /// Creates an eventfd, close-on-exec and non-blocking.
    ///
    /// # Errors
    /// The kernel's errno; `EMFILE` if the process has too many open files.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Returns the number of signals since the last call, and resets it to 0.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn take(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        match rustix::io::read(&self.0, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(Errno::AGAIN) => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns the number of signals as [`Event::take`] does, after a wait for the first one.
    /// Returns 0 if none comes within `at_most`.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn wait(&self, at_most: Duration) -> io::Result<u64> {
        let begin = Instant::now();
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        loop {
            let left = at_most.saturating_sub(begin.elapsed());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) => return self.take(),
                // A signal interrupted the wait: wait for the rest.
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Signals the eventfd once, as a device does.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn signal(&self) -> io::Result<()> {
        rustix::io::write(&self.0, &1u64.to_ne_bytes())?;
        Ok(())
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_counted_until_they_are_taken() {
        let event = Event::new().unwrap();
        assert_eq!(event.take().unwrap(), 0);

        event.signal().unwrap();
        event.signal().unwrap();
        assert_eq!(event.wait(Duration::from_secs(5)).unwrap(), 2);
        assert_eq!(event.wait(Duration::ZERO).unwrap(), 0);
    }
}
