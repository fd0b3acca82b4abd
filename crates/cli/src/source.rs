//! A domain XML file, kept for pointing at places in it.

use crate::error::Error;
use crate::exit::Code;
use passthru_domain::{Domain, Errors};
use std::io::{self, Read};
use std::path::Path;

/// The largest file that is read: what the parser takes, and a byte to notice more.
const MAX_BYTES: u64 = (16 << 20) + 1;

/// A file with its text.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
}

/// What could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {name}")]
struct Unreadable {
    name: String,
    source: io::Error,
}

impl Source {
    /// Reads a file; `-` is standard input.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let standard_input = path == Path::new("-");
        let name = if standard_input { "<stdin>".into() } else { path.display().to_string() };
        let mut text = String::new();
        let read = match standard_input {
            true => io::stdin().take(MAX_BYTES).read_to_string(&mut text),
            false => std::fs::File::open(path).and_then(|f| f.take(MAX_BYTES).read_to_string(&mut text)),
        };
        match read {
            Ok(_) => Ok(Self { name, text }),
            Err(source) => Err(Error::new(Code::Domain, Unreadable { name, source })),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Reads the text as a domain.
    pub(crate) fn parse(&self) -> Result<Domain, Error> {
        Domain::parse(&self.text).map_err(|errors| self.error(errors))
    }

    /// Makes an error about the domain that was read from here.
    pub(crate) fn error(&self, errors: Errors) -> Error {
        Error::Domain(Box::new(self.clone()), errors)
    }
}
