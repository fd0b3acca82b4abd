//! Events that the monitor reports.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::message::{MAX_MESSAGE, MOST_VALUES, Message};

/// Largest number of events that are kept until they are taken; the oldest are dropped first.
const MOST_EVENTS: usize = 1024;
/// Largest number of bytes in an event's name; an event with a longer one is dropped.
const LONGEST_NAME: usize = 64;

/// An event that the monitor reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Name, such as `SHUTDOWN` or `DEVICE_DELETED`.
    pub name: String,
    /// Data of the event; null if it has none.
    pub data: Value,
    /// Time of the event.
    pub timestamp: Timestamp,
}

/// A time on the host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Timestamp {
    /// Seconds since 1970; negative if QEMU could not read the clock.
    pub seconds: i64,
    /// Microseconds of the second.
    pub microseconds: i64,
}

impl Event {
    /// Reads a message as an event; `None` if the message is not one.
    fn from_value(value: &mut Value) -> Option<Self> {
        let name = value
            .get("event")?
            .as_str()
            .filter(|name| name.len() <= LONGEST_NAME)?
            .to_owned();
        let timestamp = Timestamp::deserialize(&value["timestamp"]).unwrap_or_default();
        let data = value.get_mut("data").map(Value::take).unwrap_or_default();
        Some(Self {
            name,
            data,
            timestamp,
        })
    }
}

/// Events that were not taken yet, bounded in number and in memory.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<QueuedEvent>,
    /// Number of JSON values of all events.
    values: usize,
    /// Length of the lines of all events.
    bytes: usize,
    /// Whether an event was dropped.
    has_dropped: bool,
}

#[derive(Debug)]
struct QueuedEvent {
    event: Event,
    values: usize,
    bytes: usize,
}

impl Events {
    /// Adds an event; `bytes` is the length of its line.
    pub(super) fn push(&mut self, mut message: Message, bytes: usize) {
        let Some(event) = Event::from_value(&mut message.value) else {
            return;
        };
        self.queue.push_back(QueuedEvent {
            event,
            values: message.values,
            bytes,
        });
        self.values += message.values;
        self.bytes += bytes;
        while self.is_over_limit() && self.remove(0).is_some() {
            if !std::mem::replace(&mut self.has_dropped, true) {
                tracing::warn!("too many events of the monitor are waiting: dropping the oldest");
            }
        }
    }

    fn is_over_limit(&self) -> bool {
        self.queue.len() > MOST_EVENTS || self.values > MOST_VALUES || self.bytes > MAX_MESSAGE
    }

    /// Takes the oldest event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.remove(0)
    }

    /// Takes the oldest event that has one of these names.
    pub(super) fn take(&mut self, names: &[&str]) -> Option<Event> {
        let at = self
            .queue
            .iter()
            .position(|queued| names.contains(&queued.event.name.as_str()))?;
        self.remove(at)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn remove(&mut self, at: usize) -> Option<Event> {
        let queued = self.queue.remove(at)?;
        self.values -= queued.values;
        self.bytes -= queued.bytes;
        Some(queued.event)
    }
}
