//! The client: a state machine that never waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::error::Error;
use super::event::{Event, Events};
use super::input::Input;
use super::message::{self, Message};
use super::output::{MOST_FDS, Output, Request};
use super::pending::{Command, NEGOTIATE, Pending};
use crate::text::{MOST_SHOWN, printable};

/// Messages that [`Qmp::advance`] takes at a time.
const MESSAGES_AT_ONCE: usize = 64;

/// A connection to a monitor.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    pub(super) input: Input,
    output: Output,
    pub(super) pending: Pending,
    pub(super) events: Events,
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
