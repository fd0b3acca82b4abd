//! A line of the monitor as a value, bounded in what it takes of memory.

use serde_json::Value;

use super::error::Error;
use crate::text::printable_bytes;

/// Bytes of a message, in either direction.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Values that a message may hold: some hundred bytes of memory each, at worst. The longest answer
/// that is asked for, the list of QEMU's types, has a third of them.
pub(super) const MOST_VALUES: usize = 16 << 10;

/// A message, with how many values it has at most.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) value: Value,
    pub(super) size: usize,
}

/// Reads a line as JSON.
///
/// # Errors
/// If it has too many values, then [`Error::TooManyValues`]; if it is not JSON, then
/// [`Error::Malformed`].
pub(super) fn parse(line: &[u8]) -> Result<Message, Error> {
    // Each value but the first follows one of these. Those within texts count too.
    let size = line
        .iter()
        .filter(|byte| matches!(byte, b'[' | b'{' | b','))
        .count()
        + 1;
    if size > MOST_VALUES {
        return Err(Error::TooManyValues { limit: MOST_VALUES });
    }
    match serde_json::from_slice(line) {
        Ok(value) => Ok(Message { value, size }),
        Err(source) => Err(Error::Malformed {
            line: printable_bytes(line),
            source,
        }),
    }
}
