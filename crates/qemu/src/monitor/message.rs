//! Messages of the monitor, bounded in memory.

use serde_json::Value;

use super::error::Error;
use crate::text::printable_bytes;

/// Largest number of bytes of a message, in either direction.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Largest number of JSON values in a message. A value takes some hundred bytes of memory at most.
/// The longest answer that passthru asks for, the list of QEMU's types, has a third of this number.
pub(super) const MOST_VALUES: usize = 16 << 10;

/// A message as a value.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) value: Value,
    /// Upper bound of the number of JSON values in the message.
    pub(super) values: usize,
}

/// Reads a line as JSON.
///
/// # Errors
/// - If the line has too many values, then [`Error::TooManyValues`].
/// - If the line is not JSON, then [`Error::Malformed`].
pub(super) fn parse(line: &[u8]) -> Result<Message, Error> {
    // Each value but the first follows one of these bytes. Bytes within texts count too.
    let separators = line
        .iter()
        .filter(|byte| matches!(byte, b'[' | b'{' | b','));
    let values = separators.count() + 1;
    if values > MOST_VALUES {
        return Err(Error::TooManyValues { limit: MOST_VALUES });
    }
    match serde_json::from_slice(line) {
        Ok(value) => Ok(Message { value, values }),
        Err(source) => Err(Error::Malformed {
            line: printable_bytes(line),
            source,
        }),
    }
}
