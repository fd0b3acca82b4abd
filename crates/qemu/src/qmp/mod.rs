//! A client of QEMU's monitor protocol (QMP).
//!
//! One command at a time over a Unix socket; events that come in between are kept in a queue. Nothing
//! waits for ever: each answer and each event has a time limit.
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
mod line;

pub use error::Error;

use line::Lines;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How many events are kept that nobody has taken; the oldest go first.
const MOST_EVENTS: usize = 1024;

/// A connection to a monitor, past the greeting.
#[derive(Debug)]
pub struct Qmp {
    lines: Lines,
    events: VecDeque<Event>,
    /// Whether an event went that nobody had taken.
    has_dropped: bool,
    /// How long a command may take.
    limit: Duration,
    next_id: u64,
}

/// Something that happened to the guest.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// What, as in `SHUTDOWN` or `DEVICE_DELETED`.
    #[serde(rename = "event")]
    pub name: String,
    /// What else is said of it; null where nothing is.
    #[serde(default)]
    pub data: Value,
    /// When.
    #[serde(default)]
    pub timestamp: Timestamp,
}

/// A moment on the host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Timestamp {
    /// Seconds since 1970; negative where QEMU could not read the clock.
    pub seconds: i64,
    /// Microseconds of the second.
    pub microseconds: i64,
}

impl Qmp {
    /// Reads the greeting and takes the connection into command mode (`qmp_capabilities`). `limit` is for
    /// that, and for each command after it.
    ///
    /// # Errors
    /// Where the other side is no monitor, or does not answer in time.
    pub fn connect(stream: UnixStream, limit: Duration) -> Result<Self, Error> {
        let (lines, events) = (Lines::new(stream), VecDeque::new());
        let mut qmp = Self { lines, events, has_dropped: false, limit, next_id: 0 };
        let greeting = qmp.next_message("greeting", Instant::now() + limit)?;
        if greeting.get("QMP").is_none() {
            return Err(Error::NoGreeting { said: greeting.to_string() });
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Sets how long each command may take.
    pub const fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Runs a command and returns its answer. Arguments are an object, an empty one for none.
    ///
    /// # Errors
    /// What the monitor answers instead of a result, or that it does not answer in time. After an error
    /// of the latter kind the connection can be used again: a late answer is passed over.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, Error> {
        self.next_id += 1;
        let id = self.next_id;
        let deadline = Instant::now() + self.limit;
        let request = json!({ "execute": command, "arguments": arguments, "id": id });
        self.send(command, &request)?;
        loop {
            let mut answer = self.next_message(command, deadline)?;
            if let Some(event) = event(&answer) {
                self.keep(event);
            } else if answer["id"] == id || is_refusal_of_all(&answer) {
                return result(command, &mut answer);
            }
            self.check_time(command, deadline)?;
        }
    }

    /// Returns the first event of one of those names, from those that came already or those that come
    /// within the limit. Events of other names stay in the queue.
    ///
    /// # Errors
    /// Where none comes in time, or the monitor closes the connection.
    pub fn wait_for(&mut self, names: &[&str], limit: Duration) -> Result<Event, Error> {
        let deadline = Instant::now() + limit;
        let what = names.join(" or ");
        let wanted = |event: &Event| names.contains(&event.name.as_str());
        let kept = self.events.iter().position(wanted).and_then(|at| self.events.remove(at));
        if let Some(event) = kept {
            return Ok(event);
        }
        loop {
            match event(&self.next_message(&what, deadline)?) {
                Some(event) if wanted(&event) => return Ok(event),
                Some(event) => self.keep(event),
                None => {}
            }
            self.check_time(&what, deadline)?;
        }
    }

    /// Returns the next event, whichever it is; nothing where none comes within the limit. A limit of
    /// zero only looks at what has come.
    ///
    /// # Errors
    /// Where the monitor closes the connection.
    pub fn next_event(&mut self, limit: Duration) -> Result<Option<Event>, Error> {
        let deadline = Instant::now() + limit;
        while self.events.is_empty() {
            match self.next_message("event", deadline) {
                Ok(message) => self.events.extend(event(&message)),
                Err(Error::Timeout { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
            if self.events.is_empty() && self.check_time("event", deadline).is_err() {
                return Ok(None);
            }
        }
        Ok(self.events.pop_front())
    }

    /// Whether something was read that was not taken yet: an event, or another whole message. poll(2) on the
    /// socket does not see it; [`Qmp::next_event`] takes it.
    pub fn has_buffered(&self) -> bool {
        !self.events.is_empty() || self.lines.has_line()
    }

    fn keep(&mut self, event: Event) {
        if self.events.len() >= MOST_EVENTS {
            self.events.pop_front();
            if !std::mem::replace(&mut self.has_dropped, true) {
                tracing::warn!(
                    "more than {MOST_EVENTS} events of the monitor are waiting: dropping the oldest"
                );
            }
        }
        self.events.push_back(event);
    }

    /// Whatever else comes, the time ends; what was read already counts as in time.
    fn check_time(&self, what: &str, deadline: Instant) -> Result<(), Error> {
        let is_over = Instant::now() >= deadline && !self.lines.has_line();
        if is_over { Err(Error::Timeout { what: what.to_owned() }) } else { Ok(()) }
    }

    fn send(&mut self, command: &str, request: &Value) -> Result<(), Error> {
        let mut text = request.to_string();
        text.push('\n');
        let io = |source| Error::Io { what: command.to_owned(), source };
        let stream = self.lines.stream();
        stream.set_write_timeout(Some(self.limit.max(line::SHORTEST))).map_err(io)?;
        let mut writer = stream;
        writer.write_all(text.as_bytes()).map_err(|source| match line::is_timeout(&source) {
            true => Error::Timeout { what: command.to_owned() },
            false => io(source),
        })
    }

    fn next_message(&mut self, what: &str, deadline: Instant) -> Result<Value, Error> {
        let line = self.lines.next(what, deadline)?;
        let malformed =
            |source| Error::Malformed { line: String::from_utf8_lossy(&line).into_owned(), source };
        let message = serde_json::from_slice(&line).map_err(malformed)?;
        tracing::trace!(%message, "from the monitor");
        Ok(message)
    }
}

impl AsFd for Qmp {
    /// The socket: readable when the monitor has said something. What was read already is not seen by
    /// poll(2): ask [`Qmp::has_buffered`] first.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lines.stream().as_fd()
    }
}

/// What could not be read as a command is answered without its id.
fn is_refusal_of_all(answer: &Value) -> bool {
    answer["id"].is_null() && answer.get("error").is_some()
}

fn event(message: &Value) -> Option<Event> {
    message.get("event")?;
    serde_json::from_value(message.clone()).ok()
}

fn result(command: &str, answer: &mut Value) -> Result<Value, Error> {
    let Some(error) = answer.get("error") else { return Ok(answer["return"].take()) };
    let text = |key| error[key].as_str().unwrap_or_default().to_owned();
    Err(Error::Command { command: command.to_owned(), class: text("class"), desc: text("desc") })
}
