//! Reads with a size limit.

use std::io::{self, ErrorKind, Read};

/// Reads a stream to its end, which must come after at most `limit` bytes. `limit` is a multiple of
/// 1 MiB.
///
/// # Errors
/// - If the stream has more bytes, then an error of kind `FileTooLarge`.
/// - If reading fails, then the error of the system call.
pub fn read_bounded(stream: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it has more than {} MiB", limit >> 20);
        return Err(io::Error::new(ErrorKind::FileTooLarge, message));
    }

    Ok(bytes)
}
