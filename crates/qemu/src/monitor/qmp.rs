//! The client: a state machine that never waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::command::Command;
use super::error::Error;
use super::event::{Event, Events};
use super::input::Input;
use super::message::{self, Message};
use super::output::{MOST_FDS, Output, Request};
use super::pending::{Pending, PendingCommand};
use crate::text::{MOST_SHOWN, printable};

/// Largest number of messages that one [`Qmp::advance`] takes.
const MESSAGES_AT_ONCE: usize = 64;

/// A connection to a monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    input: Input,
    output: Output,
    pending: Pending,
    events: Events,
    has_greeted: bool,
    negotiation: Ticket,
    /// Whether the connection can no longer be used.
    is_broken: bool,
}

/// Name of a submitted command, by which its answer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Qmp {
    /// Makes a client of a monitor that has not sent its greeting yet. `limit` is the time for all
    /// answers together that are pending at a time.
    ///
    /// # Errors
    /// The kernel's error, if the socket cannot be set non-blocking.
    pub fn new(stream: UnixStream, limit: Duration) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let mut qmp = Self {
            stream,
            input: Input::default(),
            output: Output::default(),
            pending: Pending::new(limit),
            events: Events::default(),
            has_greeted: false,
            negotiation: Ticket(0),
            is_broken: false,
        };
        // QEMU answers once the machine is set up. With much memory, that takes minutes.
        let negotiation = qmp.submit(&Command::QmpCapabilities, vec![]);
        qmp.negotiation = negotiation.map_err(io::Error::other)?;
        Ok(qmp)
    }

    /// Sets the time for all answers together that are pending from now on.
    pub const fn set_limit(&mut self, limit: Duration) {
        self.pending.set_limit(limit);
    }

    pub(super) const fn limit(&self) -> Duration {
        self.pending.limit()
    }

    /// Queues a command.
    ///
    /// Descriptors are sent with the command. Such a command is the only one on its way, because
    /// the monitor keeps only the descriptors that came last.
    ///
    /// # Errors
    /// - If 64 commands have no answer yet, the unsent ones have 1 MiB, or there are more than 16
    ///   descriptors, then [`Error::Backlog`].
    /// - If the connection can no longer be used, then [`Error::Closed`].
    pub fn submit(&mut self, command: &Command, fds: Vec<OwnedFd>) -> Result<Ticket, Error> {
        if self.is_broken {
            return Err(Error::Closed {
                what: command.name().to_owned(),
            });
        }

        let id = self.pending.next_id();
        let pending = PendingCommand::new(id, command, !fds.is_empty());
        let is_too_many = fds.len() > MOST_FDS || self.pending.is_full();
        let request = Request::new(id, command.to_line(id), fds);
        if is_too_many || !self.output.push(request) {
            return Err(Error::Backlog {
                command: command.name().to_owned(),
            });
        }

        self.pending.push(pending);
        Ok(Ticket(id))
    }

    /// Sends and reads some of what can go without waiting. Call it:
    ///
    /// - when the socket is readable;
    /// - when the socket is writable and [`Qmp::wants_to_send`] is true;
    /// - when [`Qmp::deadline`] is over;
    /// - while [`Qmp::has_buffered`] is true.
    ///
    /// # Errors
    /// After an error the connection can no longer be used, and all pending answers are errors.
    ///
    /// - If the monitor has closed the connection, then [`Error::Closed`].
    /// - If a message is not QMP, or too long, then [`Error::NoGreeting`], [`Error::Malformed`],
    ///   [`Error::TooLong`] or [`Error::TooManyValues`].
    /// - If the socket fails, then [`Error::Io`].
    pub fn advance(&mut self) -> Result<(), Error> {
        if self.is_broken {
            return Err(Error::monitor_closed());
        }
        let advanced = self.try_advance();
        if advanced.is_err() {
            self.is_broken = true;
            self.output.clear();
            self.pending.close();
        }

        advanced
    }

    fn try_advance(&mut self) -> Result<(), Error> {
        self.send()?;
        self.input.fill(&self.stream)?;
        for _ in 0..MESSAGES_AT_ONCE {
            let Some(line) = self.input.take() else { break };
            let bytes = line.len();
            let message = message::parse(line)?;
            self.receive(message, bytes)?;
        }

        if self.input.is_at_end() {
            return Err(Error::monitor_closed());
        }
        for id in self.pending.expire(Instant::now()) {
            self.output.withdraw(id);
        }
        self.send()
    }

    /// Sends the commands whose turn has come, as far as the socket takes them.
    fn send(&mut self) -> Result<(), Error> {
        while self.wants_to_send() {
            if let Some(request) = self.output.front() {
                self.pending.mark_sent(request.id);
            }
            if !self.output.send(&self.stream)? {
                break;
            }
        }

        Ok(())
    }

    /// Takes one message, whose line has so many bytes.
    fn receive(&mut self, mut message: Message, bytes: usize) -> Result<(), Error> {
        if !self.has_greeted {
            return self.receive_greeting(&message);
        }
        if message.value.get("event").is_some() {
            self.events.push(message, bytes);
        } else {
            self.pending.answer(&mut message.value);
        }

        Ok(())
    }

    fn receive_greeting(&mut self, message: &Message) -> Result<(), Error> {
        self.has_greeted = message.value.get("QMP").is_some();
        if self.has_greeted {
            return Ok(());
        }
        Err(Error::NoGreeting {
            said: printable(&message.value.to_string(), MOST_SHOWN),
        })
    }

    /// Returns the ticket of `qmp_capabilities`, which the client submits by itself. The answer
    /// comes once the machine is set up.
    pub const fn negotiation(&self) -> Ticket {
        self.negotiation
    }

    /// Takes the answer to a command, if it has come.
    pub fn take_answer(&mut self, ticket: Ticket) -> Option<Result<Value, Error>> {
        self.pending.take(ticket.0)
    }

    /// Drops the answer to a command, now or when it comes.
    pub fn forget(&mut self, ticket: Ticket) {
        self.pending.forget(ticket.0);
    }

    /// Takes the oldest event that has come.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Takes the oldest event that has one of these names.
    pub(super) fn take_event_of(&mut self, names: &[&str]) -> Option<Event> {
        self.events.take(names)
    }

    /// Returns whether [`Qmp::advance`] has commands to send once the socket is writable.
    pub fn wants_to_send(&self) -> bool {
        let Some(request) = self.output.front() else {
            return false;
        };
        self.has_greeted && (request.is_begun() || self.pending.may_send(request.id))
    }

    /// Returns whether events or lines were read from the socket and not taken yet. poll(2) does
    /// not report them.
    pub fn has_buffered(&self) -> bool {
        !self.events.is_empty() || (!self.is_broken && self.has_unread_line())
    }

    pub(super) fn has_unread_line(&self) -> bool {
        self.input.has_line()
    }

    /// Returns the end of the time for all pending answers; `None` if the oldest pending command
    /// has no time limit, or no command is pending.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.deadline()
    }
}

impl AsFd for Qmp {
    /// The socket, which is readable when the monitor has sent a message.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
