//! Waiting for the monitor, for callers that have no loop of their own.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::Value;

use super::error::Error;
use super::event::Event;
use super::qmp::Qmp;

impl Qmp {
    /// Waits for the greeting and takes the connection into command mode (`qmp_capabilities`).
    /// `limit` is for that, and for each command after it.
    ///
    /// # Errors
    /// If the other side is not a monitor, or does not answer in time.
    pub fn connect(stream: UnixStream, limit: Duration) -> Result<Self, Error> {
        let failed = |source| Error::Io {
            what: "greeting".into(),
            source,
        };
        let mut qmp = Self::new(stream, limit).map_err(failed)?;
        let deadline = Instant::now() + limit;
        let negotiation = qmp.negotiation();
        qmp.wait("greeting", deadline, |qmp| qmp.take_answer(negotiation))??;
        Ok(qmp)
    }

    /// Runs a command and waits for its answer. Arguments are an object, an empty one for none.
    ///
    /// # Errors
    /// If the monitor refuses, then [`Error::Command`]; if it does not answer within the limit,
    /// then [`Error::Timeout`], and a late answer is dropped; and those of [`Qmp::submit`] and
    /// [`Qmp::advance`].
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, Error> {
        let ticket = self.submit(command, arguments, vec![])?;
        let deadline = Instant::now() + self.pending.limit();
        let answer = self.wait(command, deadline, |qmp| qmp.take_answer(ticket));
        self.forget(ticket);
        answer?
    }

    /// Waits for an event of one of those names, and returns the first. Events of other names stay
    /// in the queue.
    ///
    /// # Errors
    /// If none comes within the limit, then [`Error::Timeout`]; and those of [`Qmp::advance`].
    pub fn wait_for(&mut self, names: &[&str], limit: Duration) -> Result<Event, Error> {
        self.wait(&names.join(" or "), Instant::now() + limit, |qmp| {
            qmp.events.take(names)
        })
    }

    /// Waits for an event, and returns nothing if none comes within the limit.
    ///
    /// # Errors
    /// Those of [`Qmp::advance`].
    pub fn next_event(&mut self, limit: Duration) -> Result<Option<Event>, Error> {
        match self.wait("event", Instant::now() + limit, Self::take_event) {
            Err(Error::Timeout { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Advances until there is a result. What has come by the deadline counts as in time.
    fn wait<T>(
        &mut self,
        what: &str,
        deadline: Instant,
        mut take: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            if let Some(result) = take(self) {
                return Ok(result);
            }
            let is_late = Instant::now() >= deadline;
            let is_closed = match self.advance() {
                Err(error) if error.is_closed() => true,
                other => other.map(|()| false)?,
            };
            // What was said before the end counts.
            if let Some(result) = take(self) {
                return Ok(result);
            }
            if is_closed {
                return Err(Error::Closed {
                    what: what.to_owned(),
                });
            }
            if is_late {
                return Err(Error::Timeout {
                    what: what.to_owned(),
                });
            }
            if !self.input.has_line() {
                self.poll(what, deadline)?;
            }
        }
    }

    fn poll(&self, what: &str, deadline: Instant) -> Result<(), Error> {
        let send = if self.wants_to_send() {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        let until = self.deadline().map_or(deadline, |own| own.min(deadline));
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        });
        match poll(
            &mut [PollFd::new(self, PollFlags::IN | send)],
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(Error::Io {
                what: what.to_owned(),
                source: errno.into(),
            }),
        }
    }
}
