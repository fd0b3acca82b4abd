//! What happened to the guest, as the monitor reports it.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::message::{MAX_MESSAGE, MOST_VALUES, Message};

/// Events that are kept until they are taken; the oldest go first.
const MOST_EVENTS: usize = 1024;
/// Bytes of an event's name.
const LONGEST_NAME: usize = 64;

/// Something that happened to the guest.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What, as in `SHUTDOWN` or `DEVICE_DELETED`.
    pub name: String,
    /// What else is said of it; null where nothing is.
    pub data: Value,
    /// When.
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

impl Event {
    /// Reads a message as an event.
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

/// Events that were not taken yet, bounded in number and in the memory that they take.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<Kept>,
    size: usize,
    bytes: usize,
    /// Whether an event went that was not taken.
    has_dropped: bool,
}

#[derive(Debug)]
struct Kept {
    event: Event,
    size: usize,
    bytes: usize,
}

impl Events {
    /// Adds an event; `bytes` is the length of its line.
    pub(super) fn push(&mut self, mut message: Message, bytes: usize) {
        let Some(event) = Event::from_value(&mut message.value) else {
            return;
        };
        self.queue.push_back(Kept {
            event,
            size: message.size,
            bytes,
        });
        self.size += message.size;
        self.bytes += bytes;
        let is_full = |events: &Self| {
            events.queue.len() > MOST_EVENTS
                || events.size > MOST_VALUES
                || events.bytes > MAX_MESSAGE
        };
        while is_full(self) && self.remove(0).is_some() {
            if !std::mem::replace(&mut self.has_dropped, true) {
                tracing::warn!("too many events of the monitor are waiting: dropping the oldest");
            }
        }
    }

    /// Takes the oldest event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.remove(0)
    }

    /// Takes the oldest event of one of those names.
    pub(super) fn take(&mut self, names: &[&str]) -> Option<Event> {
        let at = self
            .queue
            .iter()
            .position(|kept| names.contains(&kept.event.name.as_str()))?;
        self.remove(at)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn remove(&mut self, at: usize) -> Option<Event> {
        let Kept { event, size, bytes } = self.queue.remove(at)?;
        self.size -= size;
        self.bytes -= bytes;
        Some(event)
    }
}
