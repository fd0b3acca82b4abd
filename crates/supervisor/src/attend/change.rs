//! A change of the guest's devices, which a client has asked for.

use std::time::{Duration, Instant};

use passthru_domain::{DeviceDocument, Note};
use passthru_guest::{AttachSettings, DetachSettings, Guest, TransactionEnd, TransactionProgress};
use serde_json::json;

use super::requests::Begun;
use super::supervisor::{Explain, Supervisor};
use crate::control::{ClientId, ErrorKind, ErrorMessage, Progress, Response, Server};

/// Interval in which a client sees the progress of its change.
const INTERVAL: Duration = Duration::from_millis(500);

/// A change that is under way.
#[derive(Debug)]
pub(super) struct Change {
    client: ClientId,
    notes: Vec<Note>,
    next_progress: Instant,
}

impl Change {
    fn new(client: ClientId, notes: Vec<Note>) -> Self {
        Self {
            client,
            notes,
            next_progress: Instant::now() + INTERVAL,
        }
    }

    /// Tells the client that the guest ended before the change.
    pub(super) fn end_with_guest(&self, server: &mut Server) {
        let message = "the guest ended before the change of its devices";
        let message = ErrorMessage::new(ErrorKind::Interrupted, message);
        server.send(self.client, &Response::Error(message), None);
    }

    /// Returns the time at which the client sees the progress next.
    pub(super) const fn deadline(&self) -> Instant {
        self.next_progress
    }
}

impl Supervisor {
    /// Begins to give the guest the devices of a document.
    pub(super) fn attach(&mut self, client: ClientId, xml: &str) -> Result<Begun, ErrorMessage> {
        self.refuse_while_ending()?;
        let document = DeviceDocument::parse(xml)
            .map_err(|error| ErrorMessage::from_error(ErrorKind::Domain, &error))?;
        let settings = AttachSettings::default();
        let notes = self.guest.begin_attach(document, settings);
        let notes = notes.map_err(|error| (self.explain)(&error))?;
        self.change = Some(Change::new(client, notes));
        self.follow_change();
        Ok(Begun::Later)
    }

    /// Begins to take a device from the guest.
    pub(super) fn detach(
        &mut self,
        client: ClientId,
        device: &str,
        time: Option<Duration>,
        force: bool,
    ) -> Result<Begun, ErrorMessage> {
        self.refuse_while_ending()?;
        let mut settings = DetachSettings {
            force,
            ..DetachSettings::default()
        };
        settings.time = time.unwrap_or(settings.time);
        let begun = self.guest.begin_detach(device, settings);
        begun.map_err(|error| (self.explain)(&error))?;
        self.change = Some(Change::new(client, Vec::new()));
        self.follow_change();
        Ok(Begun::Later)
    }

    /// Tells the client of a change how far it is, or how it has ended.
    pub(super) fn follow_change(&mut self) {
        if let Some(end) = self.guest.take_finished() {
            self.note_devices();
            if let Some(change) = self.change.take() {
                let response = end_response(end, &change.notes, self.explain);
                self.answer(change.client, &response);
            }
            return;
        }

        let Some(change) = &mut self.change else {
            return;
        };
        let now = Instant::now();
        if now < change.next_progress {
            return;
        }
        change.next_progress = now + INTERVAL;
        let client = change.client;
        if let Some(progress) = progress(&self.guest) {
            self.answer(client, &Response::Progress(progress));
        }
    }
}

fn progress(guest: &Guest) -> Option<Progress> {
    let TransactionProgress {
        operation,
        at,
        of,
        pinned,
        ..
    } = guest.transaction_progress()?;
    Some(Progress {
        op: operation,
        at,
        of,
        pinned,
    })
}

fn end_response(end: TransactionEnd, notes: &[Note], explain: Explain) -> Response {
    let not_restored = end.not_restored.iter().map(ToString::to_string);
    let mut message = match end.result {
        Ok(()) if end.not_restored.is_empty() => {
            let notes = Vec::from_iter(notes.iter().map(|note| note.message.as_str()));
            return Response::Result(json!({ "aliases": end.aliases, "notes": notes }));
        }
        Ok(()) => {
            let text = "the guest has released the device, but the host has not got it back";
            ErrorMessage::new(ErrorKind::NotRestored, text)
        }
        Err(error) => explain(&error),
    };
    message.not_restored.extend(not_restored);
    Response::Error(message)
}
