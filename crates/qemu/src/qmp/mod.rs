//! A client of QEMU's monitor protocol (QMP): a state machine that never waits.
//!
//! [`Qmp::submit`] takes a command and gives a [`Ticket`]; [`Qmp::advance`] sends and reads what
//! goes at once, to be called when poll(2) reports the socket; [`Qmp::take_answer`] and
//! [`Qmp::take_event`] give what came. All waiting answers have one time limit together, but for
//! commands that pin memory, which have none. A VMM is not trusted: what is kept of its words is
//! bounded in bytes, and what errors show of them is short and printable.
//!
//! Callers without a loop of their own use [`Qmp::connect`], [`Qmp::execute`], [`Qmp::wait_for`]
//! and [`Qmp::next_event`], which wait, each with a time limit.
//!
//! ```no_run
//! use passthru_qemu::qmp::Qmp;
//! use serde_json::json;
//! use std::{os::unix::net::UnixStream, time::Duration};
//!
//! let mut qmp = Qmp::connect(UnixStream::connect("/run/passthru/vm/monitor.sock")?, Duration::from_secs(5))?;
//! qmp.execute("cont", json!({}))?;
//! qmp.wait_for(&["SHUTDOWN"], Duration::from_secs(60))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod event;
mod input;
mod message;
mod output;
mod pending;
mod wait;

pub use error::Error;
pub use event::{Event, Timestamp};

use crate::text::{MOST_SHOWN, printable};
use event::Events;
use input::Input;
use message::Message;
use output::{MOST_FDS, Output, Request};
use pending::{Command, Pending};
use serde_json::{Value, json};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Bytes of a message, in either direction.
pub const MAX_MESSAGE: usize = 1 << 20;
/// Messages that [`Qmp::advance`] takes at a time.
const MESSAGES_AT_ONCE: usize = 64;
/// The command that takes the connection into command mode.
const NEGOTIATE: &str = "qmp_capabilities";

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
    /// Whether the connection cannot be used any more.
    is_broken: bool,
}

/// A command that was submitted, by which its answer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Qmp {
    /// Makes a client of a monitor that has not been heard yet. `limit` is the time for all answers
    /// together that are waited for at a time.
    ///
    /// # Errors
    /// What the kernel answered.
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
        // The emulator answers it when the machine is set up, which with much memory takes minutes.
        let negotiation = qmp.submit(NEGOTIATE, json!({}), vec![]);
        qmp.negotiation = negotiation.map_err(io::Error::other)?;
        Ok(qmp)
    }

    /// Sets the time for all answers together that are waited for from now on.
    pub const fn set_limit(&mut self, limit: Duration) {
        self.pending.set_limit(limit);
    }

    /// Queues a command. Arguments are an object, an empty one for none. Descriptors go with the
    /// command, which is alone on its way then: the monitor keeps those that came last.
    ///
    /// # Errors
    /// If 64 commands have no answer yet, the waiting ones have 1 MiB, or there are more than 16
    /// descriptors, then [`Error::Backlog`]; if the connection cannot be used any more, then
    /// [`Error::Closed`].
    pub fn submit(
        &mut self,
        command: &str,
        arguments: Value,
        fds: Vec<OwnedFd>,
    ) -> Result<Ticket, Error> {
        if self.is_broken {
            return Err(Error::Closed {
                what: command.to_owned(),
            });
        }
        let id = self.pending.next_id();
        let command = Command::new(id, command, !fds.is_empty());
        let is_too_many = fds.len() > MOST_FDS || self.pending.is_full();
        let text = json!({ "execute": command.name, "arguments": arguments, "id": id });
        let request = Request::new(id, format!("{text}\n").into_bytes(), fds);
        if is_too_many || !self.output.push(request) {
            return Err(Error::Backlog {
                command: command.name,
            });
        }
        self.pending.push(command);
        Ok(Ticket(id))
    }

    /// Sends and reads what goes without waiting, some of it. To be called when the socket is
    /// readable, or writable while [`Qmp::wants_to_send`], or [`Qmp::deadline`] is over, or
    /// [`Qmp::has_buffered`].
    ///
    /// # Errors
    /// If the monitor has closed the connection, then [`Error::Closed`]; if its words are not QMP
    /// or too long, then what is wrong. The connection cannot be used any more then, and all
    /// answers that are waited for are errors.
    pub fn advance(&mut self) -> Result<(), Error> {
        if self.is_broken {
            return Err(Error::Closed {
                what: "monitor".into(),
            });
        }
        let done = self.try_advance();
        if done.is_err() {
            self.is_broken = true;
            self.output.clear();
            self.pending.close();
        }
        done
    }

    fn try_advance(&mut self) -> Result<(), Error> {
        self.send()?;
        self.input.fill(&self.stream)?;
        for _ in 0..MESSAGES_AT_ONCE {
            let Some(line) = self.input.take() else { break };
            let (message, bytes) = (message::parse(line)?, line.len());
            self.receive(message, bytes)?;
        }
        if self.input.is_at_end() {
            return Err(Error::Closed {
                what: "monitor".into(),
            });
        }
        for id in self.pending.expire(Instant::now()) {
            self.output.withdraw(id);
        }
        self.send()
    }

    /// Sends the commands whose turn it is, as much as the socket takes.
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

    fn receive(&mut self, mut message: Message, bytes: usize) -> Result<(), Error> {
        if !self.has_greeted {
            self.has_greeted = message.value.get("QMP").is_some();
            let said = || printable(&message.value.to_string(), MOST_SHOWN);
            return if self.has_greeted {
                Ok(())
            } else {
                Err(Error::NoGreeting { said: said() })
            };
        }
        if message.value.get("event").is_some() {
            self.events.push(message, bytes);
        } else {
            self.pending.answer(&mut message.value);
        }
        Ok(())
    }

    /// Returns the ticket of `qmp_capabilities`, which the client submits by itself. Its answer
    /// says that the machine is set up.
    pub const fn negotiation(&self) -> Ticket {
        self.negotiation
    }

    /// Takes the answer to a command, once it has come.
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

    /// Whether [`Qmp::advance`] has something to do once the socket is writable.
    pub fn wants_to_send(&self) -> bool {
        let may_go = |request: &Request| request.is_begun() || self.pending.may_send(request.id);
        self.has_greeted && self.output.front().is_some_and(may_go)
    }

    /// Whether something was read and not taken yet, which poll(2) does not see.
    pub fn has_buffered(&self) -> bool {
        !self.events.is_empty() || (!self.is_broken && self.input.has_line())
    }

    /// Returns when the time for all answers is over, if one is waited for whose time is limited.
    pub const fn deadline(&self) -> Option<Instant> {
        self.pending.deadline()
    }
}

impl AsFd for Qmp {
    /// The socket: readable when the monitor has said something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
