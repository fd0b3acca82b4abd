//! A client that waits, for callers without a loop of their own.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::Value;

use super::command::Command;
use super::error::Error;
use super::event::Event;
use super::qmp::Qmp;

/// A connection to a monitor whose calls wait for answers and events, each with a time limit.
#[derive(Debug)]
pub struct BlockingQmp {
    qmp: Qmp,
}

impl BlockingQmp {
    /// Waits for the greeting and leaves the negotiation (`qmp_capabilities`). `limit` is the time
    /// for both together, and later the time for each command.
    ///
    /// # Errors
    /// - If the first message is not a greeting, then [`Error::NoGreeting`].
    /// - If the monitor does not answer within the limit, then [`Error::Timeout`].
    /// - Those of [`Qmp::new`] and [`Qmp::advance`].
    pub fn connect(stream: UnixStream, limit: Duration) -> Result<Self, Error> {
        let qmp = Qmp::new(stream, limit).map_err(|source| Error::Io {
            what: "greeting".into(),
            source,
        })?;
        let negotiation = qmp.negotiation();
        let mut client = Self { qmp };
        let deadline = Instant::now() + limit;
        client.wait("greeting", deadline, |qmp| qmp.take_answer(negotiation))??;
        Ok(client)
    }

    /// Sets the time limit of each later command.
    pub const fn set_limit(&mut self, limit: Duration) {
        self.qmp.set_limit(limit);
    }

    /// Runs a command and waits for its answer. A late answer is dropped.
    ///
    /// # Errors
    /// - If the monitor refuses the command, then [`Error::Command`].
    /// - If the monitor does not answer within the limit, then [`Error::Timeout`].
    /// - Those of [`Qmp::submit`] and [`Qmp::advance`].
    pub fn execute(&mut self, command: &Command) -> Result<Value, Error> {
        self.execute_with_fds(command, vec![])
    }

    /// Runs a command with which descriptors are sent, and waits for its answer.
    ///
    /// # Errors
    /// Those of [`BlockingQmp::execute`].
    pub fn execute_with_fds(
        &mut self,
        command: &Command,
        fds: Vec<OwnedFd>,
    ) -> Result<Value, Error> {
        let ticket = self.qmp.submit(command, fds)?;
        let deadline = Instant::now() + self.qmp.limit();
        let answer = self.wait(command.name(), deadline, |qmp| qmp.take_answer(ticket));
        self.qmp.forget(ticket);
        answer?
    }

    /// Waits for an event of one of these names, and returns the first. Events of other names stay
    /// in the queue.
    ///
    /// # Errors
    /// - If none comes within `limit`, then [`Error::Timeout`].
    /// - Those of [`Qmp::advance`].
    pub fn wait_for(&mut self, names: &[&str], limit: Duration) -> Result<Event, Error> {
        let deadline = Instant::now() + limit;
        self.wait(&names.join(" or "), deadline, |qmp| {
            qmp.take_event_of(names)
        })
    }

    /// Waits for an event, and returns `None` if none comes within `limit`.
    ///
    /// # Errors
    /// Those of [`Qmp::advance`].
    pub fn next_event(&mut self, limit: Duration) -> Result<Option<Event>, Error> {
        match self.wait("event", Instant::now() + limit, Qmp::take_event) {
            Err(Error::Timeout { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Returns whether events or lines were read from the socket and not taken yet.
    pub fn has_buffered(&self) -> bool {
        self.qmp.has_buffered()
    }

    /// Advances until `take` returns a result. A message that has come by the deadline is in time.
    fn wait<T>(
        &mut self,
        what: &str,
        deadline: Instant,
        mut take: impl FnMut(&mut Qmp) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            if let Some(result) = take(&mut self.qmp) {
                return Ok(result);
            }
            let is_late = Instant::now() >= deadline;
            let is_closed = match self.qmp.advance() {
                Ok(()) => false,
                Err(error) if error.is_closed() => true,
                Err(error) => return Err(error),
            };
            // Messages from before the end of the connection count.
            if let Some(result) = take(&mut self.qmp) {
                return Ok(result);
            }
            let what = what.to_owned();
            if is_closed {
                return Err(Error::Closed { what });
            }
            if is_late {
                return Err(Error::Timeout { what });
            }
            if !self.qmp.has_unread_line() {
                self.poll(what, deadline)?;
            }
        }
    }

    /// Waits until the socket is ready, or the deadline of the caller or the client is over.
    fn poll(&self, what: String, deadline: Instant) -> Result<(), Error> {
        let mut events = PollFlags::IN;
        if self.qmp.wants_to_send() {
            events |= PollFlags::OUT;
        }
        let own = self.qmp.deadline();
        let until = own.map_or(deadline, |own| own.min(deadline));
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        });
        let mut fds = [PollFd::new(&self.qmp, events)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(Error::Io {
                what,
                source: errno.into(),
            }),
        }
    }
}
