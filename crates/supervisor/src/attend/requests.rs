//! The requests of clients.

use std::time::Duration;

use passthru_qemu::monitor::Command;
use serde_json::{Value, json};

use super::console::open_console;
use super::foreground::Foreground;
use super::info::describe;
use super::qmp_rule::read_command;
use super::supervisor::{Supervisor, tell};
use super::waiting::Waiting;
use crate::control::{ClientId, ErrorKind, ErrorMessage, Incoming, Request, Response, Server};

/// Longest time that a guest may get for what it is asked to do: a day.
const MAX_TIME: u64 = 86_400;

/// Largest number of clients' commands that wait for QEMU. The monitor takes 64: the others are for
/// the supervisor.
const MAX_WAITING: usize = 32;

/// State of a request after its begin.
pub(super) enum Begun {
    /// The request has this result.
    Done(Value),
    /// The result comes later.
    Later,
}

impl Supervisor {
    /// Begins the requests that have come, and passes events on.
    pub(super) fn serve(&mut self, foreground: &mut dyn Foreground) {
        let requests = self.server.as_mut().map(Server::take_requests);
        for incoming in requests.unwrap_or_default() {
            let client = incoming.client;
            match self.begin(incoming, foreground) {
                Ok(Begun::Done(value)) => self.answer(client, &Response::Result(value)),
                Ok(Begun::Later) => {}
                Err(message) => self.answer(client, &Response::Error(message)),
            }
        }

        if let Some(server) = &mut self.server {
            self.events.deliver(server);
        }
    }

    pub(super) fn answer(&mut self, client: ClientId, response: &Response) {
        if let Some(server) = &mut self.server {
            server.send(client, response, None);
        }
    }

    fn begin(
        &mut self,
        incoming: Incoming,
        foreground: &mut dyn Foreground,
    ) -> Result<Begun, ErrorMessage> {
        let client = incoming.client;
        match incoming.request {
            Request::Info {} => {
                let status = self.current_status();
                Ok(Begun::Done(describe(&self.guest, &status)))
            }
            Request::Stop { timeout, force } => {
                self.stop(timeout.map(seconds), force, foreground);
                self.stopping.push(client);
                Ok(Begun::Later)
            }
            Request::Reboot { reset: true } => self.ask(client, &Command::SystemReset),
            Request::Reboot { reset: false } => {
                self.refuse_while_ending()?;
                self.guest.reboot().map_err(|error| emulator(&error))?;
                Ok(Begun::Done(Value::Null))
            }
            Request::Pause {} => self.ask(client, &Command::Stop),
            Request::Resume {} => self.ask(client, &Command::Cont),
            Request::Console { force } => self.give_console(client, force, foreground),
            Request::DumpXml {} => {
                let xml = self.guest.domain().without_passwords().format_running();
                Ok(Begun::Done(json!({ "xml": xml })))
            }
            Request::Events {} => {
                self.events.add(client);
                Ok(Begun::Later)
            }
            Request::Qmp { line } => {
                let command = read_command(&line)?;
                self.submit(client, &command, true)
            }
            Request::Attach {
                xml,
                fds,
                accept_new_device: false,
            } if fds.is_empty() => self.attach(client, &xml),
            Request::Attach { .. } => {
                let message = "this program cannot attach with descriptors or with another device \
                               at a known address yet";
                Err(ErrorMessage::new(ErrorKind::Unsupported, message))
            }
            Request::Detach {
                device,
                timeout,
                force,
            } => self.detach(client, &device, timeout.map(seconds), force),
            Request::Save {} => {
                let message = "this program cannot save a guest yet";
                Err(ErrorMessage::new(ErrorKind::Unsupported, message))
            }
        }
    }

    /// Ends the guest: asks it to power off, or ends the VMM at once.
    fn stop(&mut self, time: Option<Duration>, force: bool, foreground: &mut dyn Foreground) {
        if force {
            self.ending.force(&mut self.guest);
            return;
        }

        self.guest.interrupt_transaction();
        let notice = self.ending.begin(&mut self.guest, time);
        tell(notice, foreground);
    }

    fn ask(&mut self, client: ClientId, command: &Command) -> Result<Begun, ErrorMessage> {
        self.refuse_while_ending()?;
        self.submit(client, command, false)
    }

    fn submit(
        &mut self,
        client: ClientId,
        command: &Command,
        shows_answer: bool,
    ) -> Result<Begun, ErrorMessage> {
        self.forget_waiting();
        if self.waiting.len() >= MAX_WAITING {
            let message = "too many commands wait for QEMU's answer";
            return Err(ErrorMessage::new(ErrorKind::Busy, message));
        }

        let ticket = self.guest.submit(command);
        let ticket = ticket.map_err(|error| emulator(&error))?;
        self.waiting.push(Waiting {
            client,
            ticket,
            shows_answer,
        });
        Ok(Begun::Later)
    }

    /// Forgets the requests of clients that are gone.
    fn forget_waiting(&mut self) {
        let Some(server) = &self.server else {
            return;
        };
        let guest = &mut self.guest;
        self.waiting.retain(|waiting| {
            let is_open = server.is_open(waiting.client);
            if !is_open {
                guest.forget_answer(waiting.ticket);
            }
            is_open
        });
        self.stopping.retain(|client| server.is_open(*client));
    }

    pub(super) fn refuse_while_ending(&self) -> Result<(), ErrorMessage> {
        if !self.ending.is_begun() {
            return Ok(());
        }
        let message = format!("the guest '{}' is about to end", self.guest.name());
        Err(ErrorMessage::new(ErrorKind::Guest, message))
    }

    /// Gives the guest's console to a client, which holds it as long as it is connected.
    fn give_console(
        &mut self,
        client: ClientId,
        force: bool,
        foreground: &mut dyn Foreground,
    ) -> Result<Begun, ErrorMessage> {
        let Some(path) = self.guest.console() else {
            let message = format!("the guest '{}' has no console", self.guest.name());
            let message = ErrorMessage::new(ErrorKind::Unsupported, message);
            return Err(message.with_hint("give it a serial port: <serial type='pty'/>"));
        };
        let Some(server) = &mut self.server else {
            return Ok(Begun::Later);
        };
        let holder = self.console.client(server);
        if !force && (holder.is_some() || foreground.has_console()) {
            let pid = holder.and_then(|holder| server.peer(holder)).map(|p| p.pid);
            return Err(taken(pid.unwrap_or_else(std::process::id)));
        }

        let terminal = open_console(path, self.guest.uid()).map_err(|error| {
            let message = format!("cannot open the console {}: {error}", path.display());
            ErrorMessage::new(ErrorKind::Host, message)
        })?;
        let result = Response::Result(json!({ "console": path }));
        if let Some(holder) = holder.filter(|holder| *holder != client) {
            server.close(holder);
        }
        foreground.leave_console();
        self.console.set(client);
        server.send(client, &result, Some(terminal));
        Ok(Begun::Later)
    }
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number.min(MAX_TIME))
}

fn emulator(error: &dyn std::error::Error) -> ErrorMessage {
    ErrorMessage::from_error(ErrorKind::Emulator, error)
}

/// Returns the error for a console that a process has.
fn taken(pid: u32) -> ErrorMessage {
    let message = format!("the console is in use by process {pid}");
    ErrorMessage::new(ErrorKind::Busy, message)
}
