//! Commands that have no answer yet, and answers that were not taken yet.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::error::Error;
use crate::text::{MOST_SHOWN, printable};

/// The command that takes the connection into command mode.
pub(super) const NEGOTIATE: &str = "qmp_capabilities";

/// Commands without an answer, and answers that were not taken.
const MOST_COMMANDS: usize = 64;

/// A command that was submitted.
#[derive(Debug)]
pub(super) struct Command {
    id: u64,
    pub(super) name: String,
    is_sent: bool,
    /// Whether nothing else may be on its way with it.
    is_alone: bool,
    /// Whether its answer is dropped.
    is_forgotten: bool,
}

impl Command {
    pub(super) fn new(id: u64, name: &str, has_fds: bool) -> Self {
        let is_alone = has_fds || name == NEGOTIATE;
        Self {
            id,
            name: name.to_owned(),
            is_sent: false,
            is_alone,
            is_forgotten: false,
        }
    }

    /// Whether its answer has a time limit: not where it pins the guest's memory, which takes
    /// minutes.
    fn is_limited(&self) -> bool {
        !matches!(self.name.as_str(), NEGOTIATE | "device_add" | "object-add")
    }
}

/// Commands that have no answer yet, in their order, and answers that were not taken yet.
#[derive(Debug)]
pub(super) struct Pending {
    commands: VecDeque<Command>,
    answers: BTreeMap<u64, Result<Value, Error>>,
    last_id: u64,
    limit: Duration,
    /// End of the time for all limited answers together. It runs while the oldest command is
    /// limited.
    deadline: Option<Instant>,
}

impl Pending {
    pub(super) const fn new(limit: Duration) -> Self {
        Self {
            commands: VecDeque::new(),
            answers: BTreeMap::new(),
            last_id: 0,
            limit,
            deadline: None,
        }
    }

    pub(super) const fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) const fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.commands.len() + self.answers.len() >= MOST_COMMANDS
    }

    pub(super) fn push(&mut self, command: Command) {
        self.last_id = command.id;
        self.commands.push_back(command);
        self.set_deadline();
    }

    /// Returns whether a command may be sent now: one that is alone when all before it are
    /// answered, and any other when none that is alone is on its way.
    pub(super) fn may_send(&self, id: u64) -> bool {
        let mut sent = self
            .commands
            .iter()
            .filter(|command| command.is_sent && command.id != id);
        let is_alone = self
            .commands
            .iter()
            .any(|command| command.id == id && command.is_alone);
        sent.all(|command| !is_alone && !command.is_alone)
    }

    pub(super) fn mark_sent(&mut self, id: u64) {
        for command in self.commands.iter_mut().filter(|command| command.id == id) {
            command.is_sent = true;
        }
    }

    /// Files the answer to one of the commands. What answers none of them is dropped: it comes
    /// late.
    pub(super) fn answer(&mut self, message: &mut Value) {
        let is_error = message.get("error").is_some();
        // What could not be read as a command is refused without its id.
        let at = match message["id"].as_u64() {
            Some(id) => self
                .commands
                .iter()
                .position(|command| command.is_sent && command.id == id),
            None if is_error => self.commands.iter().position(|command| command.is_sent),
            None => None,
        };
        if let Some(command) = at.and_then(|at| self.commands.remove(at)) {
            let answer = if is_error {
                Err(refusal(&command.name, &message["error"]))
            } else {
                Ok(message["return"].take())
            };
            self.file(command, answer);
            self.set_deadline();
        }
    }

    fn file(&mut self, command: Command, answer: Result<Value, Error>) {
        if !command.is_forgotten {
            self.answers.insert(command.id, answer);
        }
    }

    /// Gives up all limited commands once their time is over. Returns their numbers.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u64> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return vec![];
        }
        let (late, kept) = std::mem::take(&mut self.commands)
            .into_iter()
            .partition(Command::is_limited);
        self.commands = kept;
        let late: VecDeque<Command> = late;
        let ids = late.iter().map(|command| command.id).collect();
        for command in late {
            let what = command.name.clone();
            self.file(command, Err(Error::Timeout { what }));
        }
        self.deadline = None;
        ids
    }

    /// Ends all commands: the monitor has gone.
    pub(super) fn close(&mut self) {
        for command in std::mem::take(&mut self.commands) {
            let what = command.name.clone();
            self.file(command, Err(Error::Closed { what }));
        }
        self.deadline = None;
    }

    pub(super) fn take(&mut self, id: u64) -> Option<Result<Value, Error>> {
        self.answers.remove(&id)
    }

    pub(super) fn forget(&mut self, id: u64) {
        self.answers.remove(&id);
        for command in self.commands.iter_mut().filter(|command| command.id == id) {
            command.is_forgotten = true;
        }
    }

    fn set_deadline(&mut self) {
        self.deadline = match self.commands.front() {
            Some(oldest) if oldest.is_limited() => self
                .deadline
                .or_else(|| Instant::now().checked_add(self.limit)),
            _ => None,
        };
    }
}

fn refusal(command: &str, error: &Value) -> Error {
    let text = |key| printable(error[key].as_str().unwrap_or_default(), MOST_SHOWN);
    Error::Command {
        command: command.to_owned(),
        class: text("class"),
        desc: text("desc"),
    }
}
