//! Standard output.

use std::io::{self, Write};

use crate::error::Error;
use crate::exit::Code;

/// Failure to write to standard output.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct Unwritable(#[source] io::Error);

/// Prints a text to standard output. A closed pipe (`| head`) is not an error.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(Code::Failure, Unwritable(e)))
        }
        _ => Ok(()),
    }
}
