//! A domain XML file, kept for pointing at places in it.

use crate::diagnostics;
use crate::error::Error;
use crate::exit::Code;
use passthru_domain::{Domain, Errors, ParsedDomain};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::str::Utf8Error;

/// The largest file that is read: what the parser takes.
const MAX_BYTES: u64 = 16 << 20;

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

/// What is no text.
#[derive(Debug, thiserror::Error)]
#[error("{name} is not UTF-8 text")]
struct NotText {
    name: String,
    source: Utf8Error,
}

/// What is too large for a domain.
#[derive(Debug, thiserror::Error)]
#[error("{name} has more than {} MiB", MAX_BYTES >> 20)]
struct TooLarge {
    name: String,
}

impl Source {
    /// Reads a file; `-` is standard input.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let standard_input = path == Path::new("-");
        let name = if standard_input {
            "<stdin>".into()
        } else {
            path.display().to_string()
        };
        match read_bytes((!standard_input).then_some(path)) {
            Ok(bytes) => Self::of_bytes(name, bytes),
            Err(source) => {
                let hint = unreadable_hint(source.kind());
                Err(Error::new(Code::Domain, Unreadable { name, source }).hint(hint))
            }
        }
    }

    fn of_bytes(name: String, bytes: Vec<u8>) -> Result<Self, Error> {
        // First: a text that is cut off may end within a character.
        if bytes.len() as u64 > MAX_BYTES {
            let hint = "give a domain's XML file: this file is too large to be one";
            return Err(Error::new(Code::Domain, TooLarge { name }).hint(Some(hint)));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => {
                let (hint, source) = (encoding_hint(error.as_bytes()), error.utf8_error());
                Err(Error::new(Code::Domain, NotText { name, source }).hint(Some(hint)))
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Reads the text as a domain, and says what of it has no effect.
    pub(crate) fn parse(&self) -> Result<Domain, Error> {
        let parsed = ParsedDomain::parse(&self.text).map_err(|error| self.error(error.into()))?;
        diagnostics::notes(self, &parsed.notes, parsed.more_notes);
        parsed.into_domain().map_err(|errors| self.error(errors))
    }

    /// Makes an error about the domain that was read from here.
    pub(crate) fn error(&self, errors: Errors) -> Error {
        Error::Domain(Box::new(self.clone()), errors)
    }
}

/// Reads a file, else standard input, and a byte more than a domain can have.
fn read_bytes(path: Option<&Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path {
        Some(path) => open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?,
        None => io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

/// Opens a file without waiting at a FIFO that no program has opened for writing: it is then empty.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    let status = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, status - OFlags::NONBLOCK)?;
    Ok(fd.into())
}

fn unreadable_hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::NotFound => {
            Some("give the path of a domain's XML file, or - for standard input")
        }
        ErrorKind::IsADirectory => Some("give a file in this folder"),
        _ => None,
    }
}

/// UTF-16 starts with a byte order mark, or with a `<` and a zero in either order.
fn encoding_hint(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'<', 0, ..] | [0, b'<', ..] => {
            "convert it from UTF-16 to UTF-8: iconv -f UTF-16 -t UTF-8"
        }
        _ => "give a domain's XML file; convert a text in another encoding to UTF-8 with `iconv`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_and_hint(error: Error) -> (String, String) {
        let Error::Other { error, hint, .. } = error else {
            panic!("an error about a place")
        };
        (error.to_string(), hint.unwrap_or_default())
    }

    #[test]
    fn what_cannot_be_read_comes_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let (message, hint) = message_and_hint(Source::read(folder.path()).unwrap_err());
        assert!(
            message.starts_with("cannot read ") && hint.contains("in this folder"),
            "{message}: {hint}"
        );
        let missing = Source::read(&folder.path().join("missing.xml")).unwrap_err();
        assert!(message_and_hint(missing).1.contains("standard input"));
    }

    #[test]
    fn fifo_without_writer_and_endless_device_do_not_hang() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(Source::read(&fifo).unwrap().text(), "");
        let (message, _) = message_and_hint(Source::read(Path::new("/dev/zero")).unwrap_err());
        assert_eq!(message, "/dev/zero has more than 16 MiB");
    }

    #[test]
    fn fifo_with_a_writer_is_read_to_its_end() {
        let (read, mut write) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&read));
        let writer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            std::io::Write::write_all(&mut write, b"<domain/>").unwrap();
        });
        assert_eq!(Source::read(Path::new(&path)).unwrap().text(), "<domain/>");
        writer.join().unwrap();
    }

    #[test]
    fn what_is_no_utf_8_comes_with_a_hint() {
        let of = |bytes: &[u8]| {
            message_and_hint(Source::of_bytes("x".into(), bytes.to_vec()).unwrap_err())
        };
        let (message, hint) = of(b"\xff\xfe<\0d\0");
        assert_eq!(message, "x is not UTF-8 text");
        assert!(hint.contains("UTF-16"));
        assert!(of(b"QFI\xfb\0\0").1.contains("another encoding"));
    }

    #[test]
    fn a_file_that_is_too_large_is_told_its_limit() {
        // Ends within a character, so that it is no whole text.
        let mut bytes = vec![b' '; 16 << 20];
        assert!(Source::of_bytes("x".into(), bytes.clone()).is_ok());
        bytes.push(0xc3);
        let (message, hint) = message_and_hint(Source::of_bytes("x".into(), bytes).unwrap_err());
        assert!(
            message == "x has more than 16 MiB" && hint.contains("too large to be one"),
            "{message}: {hint}"
        );
    }
}
