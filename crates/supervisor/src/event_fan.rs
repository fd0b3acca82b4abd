//! The events of a guest, for those who listen.

use std::collections::{BTreeMap, VecDeque};

use passthru_qemu::monitor::Event;
use serde_json::{Value, json};

use crate::control::{ClientId, Response, Server};

/// Largest number of events that are kept for listeners.
const MAX_EVENTS: usize = 256;
/// Largest number of bytes of the events that are kept, as text. A larger one is lost.
const MAX_BYTES: usize = 256 << 10;
/// Number of bytes that may wait in the server for a listener before its events wait here.
const ENOUGH: usize = 64 << 10;

/// An event that is kept.
#[derive(Debug)]
struct KeptEvent {
    response: Response,
    bytes: usize,
}

/// The events that a listener has not got yet. All listeners share one bounded queue, and each has
/// its place in it. A listener that is too slow loses the oldest events, and gets their number
/// ([`Response::Lost`]) in their place.
#[derive(Debug, Default)]
pub struct EventFan {
    events: VecDeque<KeptEvent>,
    /// Number of the first event that is kept, counted from the first one ever.
    first: u64,
    /// Length of the events that are kept, in bytes.
    bytes: usize,
    /// Number of the next event of each listener.
    listeners: BTreeMap<ClientId, u64>,
}

impl EventFan {
    /// Adds a listener, which gets the events from now on.
    pub fn add(&mut self, listener: ClientId) {
        let next = self.end();
        self.listeners.insert(listener, next);
    }

    /// Removes a listener.
    pub fn remove(&mut self, listener: ClientId) {
        self.listeners.remove(&listener);
        self.drop_taken();
    }

    /// Returns whether anybody listens.
    pub fn has_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Returns the number of the next event that comes.
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Adds an event of QEMU, as its monitor reports it.
    pub fn push_qmp(&mut self, event: &Event) {
        if !self.has_listeners() {
            return;
        }
        self.push(json!({
            "event": event.name,
            "data": event.data,
            "timestamp": {
                "seconds": event.timestamp.seconds,
                "microseconds": event.timestamp.microseconds,
            },
        }));
    }

    /// Adds an event. Without a listener, nothing is kept.
    pub fn push(&mut self, value: Value) {
        if !self.has_listeners() {
            return;
        }
        let length = value.to_string().len();
        // A larger event would drive out all others.
        let event = if length > MAX_BYTES {
            KeptEvent {
                response: Response::Lost(1),
                bytes: 0,
            }
        } else {
            KeptEvent {
                response: Response::Event(value),
                bytes: length,
            }
        };
        self.bytes += event.bytes;
        self.events.push_back(event);
        while self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= event.bytes;
            self.first += 1;
        }
    }

    /// Drops the events that every listener has got.
    fn drop_taken(&mut self) {
        let slowest = self.listeners.values().copied().min();
        let slowest = slowest.unwrap_or_else(|| self.end());
        while self.first < slowest && !self.events.is_empty() {
            self.drop_first();
        }
    }

    /// Takes the next line for a listener: an event, or the number of those that it has lost.
    fn take(&mut self, listener: ClientId) -> Option<Response> {
        let next = self.listeners.get_mut(&listener)?;
        if *next < self.first {
            let lost = self.first - *next;
            *next = self.first;
            return Some(Response::Lost(lost));
        }

        let at = usize::try_from(*next - self.first).ok()?;
        let response = self.events.get(at)?.response.clone();
        *next += 1;
        Some(response)
    }

    /// Sends what the listeners have room for, and ends their requests.
    pub fn finish(mut self, server: &mut Server) {
        self.deliver(server);
        for listener in self.listeners.into_keys() {
            server.send(listener, &Response::Result(Value::Null), None);
        }
    }

    /// Sends events to the listeners that have room for them, and removes those that are gone. Call
    /// it in each turn of the loop: an event costs a slow listener no connection.
    pub fn deliver(&mut self, server: &mut Server) {
        let listeners: Vec<ClientId> = self.listeners.keys().copied().collect();
        for listener in listeners {
            while server
                .waiting(listener)
                .is_some_and(|waiting| waiting < ENOUGH)
            {
                let Some(response) = self.take(listener) else {
                    break;
                };
                server.send(listener, &response, None);
            }
            if !server.is_open(listener) {
                self.listeners.remove(&listener);
            }
        }

        self.drop_taken();
    }
}
