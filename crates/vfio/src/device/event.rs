//! [`Event`]: an eventfd, for those who have none of their own to give.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// An eventfd that counts what is signalled through it.
#[derive(Debug)]
pub struct Event(OwnedFd);

impl Event {
    /// Makes one, close-on-exec.
    ///
    /// # Errors
    /// Where there are too many descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Returns how often it was signalled since it was last asked; 0 where it was not.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn take(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        match rustix::io::read(&self.0, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(Errno::AGAIN) => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    /// As [`Event::take`], but waits for a signal for so long.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn wait(&self, at_most: Duration) -> io::Result<u64> {
        let begin = Instant::now();
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        loop {
            let left = at_most.saturating_sub(begin.elapsed());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) => return self.take(),
                // A signal of the process: the rest is waited for.
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Signals it, as a device does.
    ///
    /// # Errors
    /// The kernel's refusal.
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
