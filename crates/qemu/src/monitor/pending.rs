//! Commands without an answer yet, and answers that were not taken yet.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use passthru_domain::Password;
use serde_json::Value;

use super::command::Command;
use super::error::Error;
use crate::text::{MOST_SHOWN, printable};

/// Largest number of commands without an answer and answers not taken, together.
const MOST_COMMANDS: usize = 64;

/// A command that was submitted and has no answer yet.
#[derive(Debug)]
pub(super) struct PendingCommand {
    id: u64,
    name: String,
    /// Part of the arguments that no message may show.
    secret: Option<Password>,
    /// Whether the wait for the answer has a time limit.
    is_limited: bool,
    /// End of that time, once it has begun.
    deadline: Option<Instant>,
    is_sent: bool,
    /// Whether no other command may be sent before the answer.
    is_alone: bool,
    /// Whether the answer is dropped when it comes.
    is_forgotten: bool,
}

impl PendingCommand {
    pub(super) fn new(id: u64, command: &Command, has_fds: bool) -> Self {
        Self {
            id,
            name: command.name().to_owned(),
            secret: command.secret().cloned(),
            is_limited: command.is_limited(),
            deadline: None,
            is_sent: false,
            is_alone: has_fds || *command == Command::QmpCapabilities,
            is_forgotten: false,
        }
    }

    /// Returns a text of the monitor about this command, fit to show.
    fn shown(&self, text: &Value) -> String {
        let text = text.as_str().unwrap_or_default();
        let secret = self.secret.as_ref().map_or("", Password::as_str);
        if !secret.is_empty() && text.contains(secret) {
            return "the monitor's text repeats the password, and is left out".into();
        }
        printable(text, MOST_SHOWN)
    }
}

/// Commands without an answer, in their order, and answers that were not taken yet.
#[derive(Debug)]
pub(super) struct Pending {
    commands: VecDeque<PendingCommand>,
    answers: BTreeMap<u64, Result<Value, Error>>,
    last_id: u64,
    limit: Duration,
}

impl Pending {
    pub(super) const fn new(limit: Duration) -> Self {
        Self {
            commands: VecDeque::new(),
            answers: BTreeMap::new(),
            last_id: 0,
            limit,
        }
    }

    pub(super) const fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns the time at which the first command is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = self.commands.iter().filter_map(|command| command.deadline);
        deadlines.min()
    }

    pub(super) const fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.commands.len() + self.answers.len() >= MOST_COMMANDS
    }

    pub(super) fn push(&mut self, command: PendingCommand) {
        self.last_id = command.id;
        self.commands.push_back(command);
        self.begin_limits();
    }

    /// Returns whether a command may be sent now.
    ///
    /// - A command that must be alone waits until all sent commands are answered.
    /// - Any other command waits only for a sent command that must be alone.
    pub(super) fn may_send(&self, id: u64) -> bool {
        let is_alone = self
            .commands
            .iter()
            .any(|command| command.id == id && command.is_alone);
        let mut others = self
            .commands
            .iter()
            .filter(|command| command.is_sent && command.id != id);
        others.all(|other| !is_alone && !other.is_alone)
    }

    pub(super) fn mark_sent(&mut self, id: u64) {
        for command in self.commands.iter_mut().filter(|command| command.id == id) {
            command.is_sent = true;
        }
    }

    /// Keeps the answer to one of the commands. An answer to none of them came late, and is
    /// dropped.
    pub(super) fn answer(&mut self, message: &mut Value) {
        let Some(at) = self.find_answered(message) else {
            return;
        };
        let Some(command) = self.commands.remove(at) else {
            return;
        };
        let answer = if message.get("error").is_some() {
            Err(refusal(&command, &message["error"]))
        } else {
            Ok(message["return"].take())
        };
        self.keep_answer(&command, answer);
        self.begin_limits();
    }

    /// Returns the place of the command that a message answers. The monitor refuses a line that it
    /// cannot read as a command without an id: this refusal is for the oldest command sent.
    fn find_answered(&self, message: &Value) -> Option<usize> {
        let mut commands = self.commands.iter();
        match message["id"].as_u64() {
            Some(id) => commands.position(|command| command.is_sent && command.id == id),
            None if message.get("error").is_some() => commands.position(|command| command.is_sent),
            None => None,
        }
    }

    fn keep_answer(&mut self, command: &PendingCommand, answer: Result<Value, Error>) {
        if !command.is_forgotten {
            self.answers.insert(command.id, answer);
        }
    }

    /// Gives up the commands whose time is over. Returns their ids.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u64> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return vec![];
        }
        let mut ids = Vec::new();
        for command in std::mem::take(&mut self.commands) {
            if command.deadline.is_some_and(|deadline| now >= deadline) {
                ids.push(command.id);
                let what = command.name.clone();
                self.keep_answer(&command, Err(Error::Timeout { what }));
            } else {
                self.commands.push_back(command);
            }
        }

        self.begin_limits();
        ids
    }

    /// Ends all commands with [`Error::Closed`].
    pub(super) fn close(&mut self) {
        for command in std::mem::take(&mut self.commands) {
            let what = command.name.clone();
            self.keep_answer(&command, Err(Error::Closed { what }));
        }
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

    /// Begins the time of each command that waits for no command without a limit.
    fn begin_limits(&mut self) {
        let deadline = Instant::now().checked_add(self.limit);
        let waiting = self.commands.iter_mut();
        for command in waiting.take_while(|command| command.is_limited) {
            command.deadline = command.deadline.or(deadline);
        }
    }
}

/// Returns the error for a command that the monitor refused. A text that repeats the command's
/// secret is left out.
fn refusal(command: &PendingCommand, error: &Value) -> Error {
    Error::Command {
        command: command.name.clone(),
        class: command.shown(&error["class"]),
        desc: command.shown(&error["desc"]),
    }
}
