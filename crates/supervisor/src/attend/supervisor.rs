//! The supervisor of one guest.

use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use passthru_guest::{Ended, Ending, EndingNotice, Error as GuestError, Guest};
use passthru_host::{Host, ProcessId};
use passthru_qemu::monitor::{Command, Error as MonitorError, Event, Ticket};
use rustix::event::PollFlags;
use serde_json::Value;

use super::change::Change;
use super::console::ConsoleHolder;
use super::foreground::Foreground;
use super::info::device_addresses;
use super::poll_set::{PollSet, Source};
use super::waiting::Waiting;
use crate::control::{Access, ClientId, ErrorKind, ErrorMessage, Response, Server};
use crate::event_fan::EventFan;
use crate::status::{GuestState, Status, StatusFile};

/// Events of QEMU after which the guest may be in another state.
const STATE_EVENTS: &[&str] = &[
    "BLOCK_IO_ERROR",
    "GUEST_CRASHLOADED",
    "GUEST_PANICKED",
    "RESET",
    "RESUME",
    "SHUTDOWN",
    "STOP",
    "SUSPEND",
    "WAKEUP",
    "WATCHDOG",
];

/// Function that describes an error of the guest to a client.
pub type Explain = fn(&GuestError) -> ErrorMessage;

/// Settings of a supervisor.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Users that may use the control socket.
    pub access: Access,
    /// Time that the guest has to power off when it is asked to.
    pub stop_time: Duration,
    /// Describes errors of the guest, with hints.
    pub explain: Explain,
}

/// The supervisor of one guest: it stays with the guest until the VMM has ended, and serves the
/// control socket meanwhile.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) guest: Guest,
    pub(super) ending: Ending,
    /// Whether the monitor can be used.
    pub(super) has_monitor: bool,
    pub(super) server: Option<Server>,
    pub(super) events: EventFan,
    pub(super) status: Status,
    status_file: StatusFile,
    /// Question for the guest's state, until the answer comes.
    state_question: Option<Ticket>,
    pub(super) waiting: Vec<Waiting>,
    /// Clients that wait for the end of the guest.
    pub(super) stopping: Vec<ClientId>,
    pub(super) console: ConsoleHolder,
    /// Change of the guest's devices, and the client that waits for it.
    pub(super) change: Option<Change>,
    pub(super) explain: Explain,
}

impl Supervisor {
    /// Makes the supervisor of a guest that runs. A control socket that cannot be used is warned
    /// about: the guest is worth more than its commands.
    pub fn new(mut guest: Guest, host: &Host, settings: Settings) -> Self {
        let listener = guest.take_control();
        let access = Access {
            vmm: Some(guest.uid()),
            ..settings.access
        };
        let server = listener.map(|listener| Server::new(listener, guest.name(), access));
        let server = match server.transpose() {
            Ok(server) => server,
            Err(error) => {
                tracing::warn!("the guest takes no commands: {error}");
                None
            }
        };
        let own = host.process(std::process::id()).unwrap_or_else(unseen_self);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut status = Status::new(guest.name(), own, since.unwrap_or_default().as_secs());
        status.vmm = host.process(guest.pid());
        status.memory = guest.domain().memory.map_or(0, |memory| memory.bytes());
        status.devices = device_addresses(&guest);
        Self {
            status_file: StatusFile::new(guest.folder()),
            guest,
            ending: Ending::new(settings.stop_time),
            has_monitor: true,
            server,
            events: EventFan::default(),
            status,
            state_question: None,
            waiting: Vec::new(),
            stopping: Vec::new(),
            console: ConsoleHolder::default(),
            change: None,
            explain: settings.explain,
        }
    }

    /// Stays with the guest until its VMM has ended, gives its devices back, and answers the
    /// clients that waited for that.
    pub fn run(mut self, foreground: &mut dyn Foreground) -> Ended {
        self.ask_for_state();
        while !self.turn(foreground) {}
        foreground.finish();
        self.finish()
    }

    /// Waits for events and handles them. Returns whether the VMM has ended.
    fn turn(&mut self, foreground: &mut dyn Foreground) -> bool {
        self.write_status();
        let ready = self.wait(foreground);
        let mut has_ended = false;
        let mut front = Vec::new();
        for (source, flags) in ready {
            match source {
                Source::Vmm => has_ended = true,
                Source::Monitor => {}
                Source::Log => self.guest.handle_log(),
                Source::Control(source) => {
                    if let Some(server) = &mut self.server {
                        server.ready(source, flags);
                    }
                }
                Source::Foreground(number) => front.push(number),
            }
        }

        let log_time = self.guest.log_deadline();
        if log_time.is_some_and(|time| Instant::now() >= time) {
            self.guest.handle_log();
        }
        let is_asked = foreground.handle(&front);
        self.advance_monitor();
        if is_asked || self.ending.is_due() {
            let notice = self.ending.advance(&mut self.guest);
            tell(notice, foreground);
        }

        self.follow_change();
        self.serve(foreground);
        has_ended
    }

    fn wait(&self, foreground: &dyn Foreground) -> Vec<(Source, PollFlags)> {
        let mut set = PollSet::default();
        set.add(Source::Vmm, self.guest.as_fd(), PollFlags::IN);
        if self.has_monitor {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, self.guest.wants_to_send());
            set.add(Source::Monitor, self.guest.monitor_fd(), flags);
        }

        if let Some(fd) = self.guest.log_fd() {
            set.add(Source::Log, fd, PollFlags::IN);
        }
        if let Some(server) = &self.server {
            for entry in server.poll_entries() {
                set.add(Source::Control(entry.source), entry.fd, entry.flags);
            }
        }

        for (number, fd, flags) in foreground.poll_entries() {
            set.add(Source::Foreground(number), fd, flags);
        }
        set.wait(self.deadline())
    }

    /// Returns the time of the next turn without an event; now, if there is one that poll(2) cannot
    /// see.
    fn deadline(&self) -> Option<Instant> {
        let has_requests = self.server.as_ref().is_some_and(Server::has_requests);
        if has_requests || (self.has_monitor && self.guest.has_events()) {
            return Some(Instant::now());
        }
        let answer = self.guest.deadline().filter(|_| self.has_monitor);
        let accept = self.server.as_ref().and_then(Server::deadline);
        let log = self.guest.log_deadline();
        let progress = self.change.as_ref().map(Change::deadline);
        let times = [self.ending.deadline(), answer, accept, log, progress];
        times.into_iter().flatten().min()
    }

    /// Takes what the monitor has: events, and answers to requests.
    fn advance_monitor(&mut self) {
        if !self.has_monitor {
            return;
        }
        let mut has_changed = false;
        let events = &mut self.events;
        let handled = self.guest.handle_events(&mut |event: &Event| {
            has_changed |= STATE_EVENTS.contains(&event.name.as_str());
            events.push_qmp(event);
        });
        match handled {
            Ok(false) => {}
            Ok(true) => self.ending.note_quit(),
            Err(error) => {
                self.has_monitor = false;
                self.ending.lose_monitor(&mut self.guest, &error);
            }
        }

        self.take_answers();
        if has_changed {
            self.ask_for_state();
        }
    }

    /// Sends the answers that have come to the clients that wait for them.
    fn take_answers(&mut self) {
        if let Some(ticket) = self.state_question
            && let Some(answer) = self.guest.take_answer(ticket)
        {
            self.state_question = None;
            self.note_state(answer);
        }

        let guest = &mut self.guest;
        let server = &mut self.server;
        self.waiting.retain(|waiting| {
            let Some(answer) = guest.take_answer(waiting.ticket) else {
                return true;
            };
            if let Some(server) = server {
                server.send(waiting.client, &waiting.response(answer), None);
            }
            false
        });
    }

    fn ask_for_state(&mut self) {
        // The answer to an earlier question may be older than the event.
        if let Some(earlier) = self.state_question.take() {
            self.guest.forget_answer(earlier);
        }
        self.state_question = self.guest.submit(&Command::QueryStatus).ok();
    }

    fn note_state(&mut self, answer: Result<Value, MonitorError>) {
        if let Ok(value) = answer
            && let Some(state) = value.get("status").and_then(Value::as_str)
        {
            self.status.state = GuestState::from_qemu(state);
        }
    }

    /// Notes the devices that the guest has now.
    pub(super) fn note_devices(&mut self) {
        self.status.devices = device_addresses(&self.guest);
    }

    /// Returns the status as others see it.
    pub(super) fn current_status(&self) -> Status {
        let mut status = self.status.clone();
        if self.ending.is_begun() {
            status.state = GuestState::Stopping;
        }
        status
    }

    fn write_status(&mut self) {
        let status = self.current_status();
        if let Err(error) = self.status_file.update(&status) {
            tracing::debug!("cannot write the guest's status: {error}");
        }
    }

    /// Gives the devices back, and answers the clients that wait for the end.
    fn finish(mut self) -> Ended {
        self.ending.note_quit();
        self.write_status();
        let Self {
            guest,
            mut server,
            stopping,
            events,
            change,
            waiting,
            ..
        } = self;
        if let Some(server) = &mut server {
            events.finish(server);
            if let Some(change) = change {
                change.end_with_guest(server);
            }
            for waiting in waiting {
                waiting.end_with_guest(server);
            }
        }

        let ended = guest.finish();
        if let Some(server) = &mut server {
            let response = end_response(&ended);
            for client in stopping {
                server.send(client, &response, None);
            }
        }

        ended
    }
}

/// Returns this process for a `/proc` that does not show it. It counts as alive then.
fn unseen_self() -> ProcessId {
    ProcessId {
        pid: std::process::id(),
        start_time: 0,
        boot_id: String::new(),
        pid_namespace: String::new(),
    }
}

/// Shows a notice about the end of the guest.
pub(super) fn tell(notice: Option<EndingNotice>, foreground: &mut dyn Foreground) {
    if let Some(notice) = notice {
        foreground.tell(notice);
    }
}

/// Returns the answer to the clients that asked for the guest's end.
fn end_response(ended: &Ended) -> Response {
    if ended.not_restored.is_empty() {
        let status = ended.status.and_then(|status| status.code());
        return Response::Result(serde_json::json!({ "status": status }));
    }

    let message = "the guest has ended, and the host is not as it was before";
    let mut message = ErrorMessage::new(ErrorKind::NotRestored, message);
    for error in &ended.not_restored {
        message.not_restored.push(error.to_string());
    }
    Response::Error(message)
}
