//! Domains from files: reading, parsing, completing and checking them.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::str::Utf8Error;

use passthru_domain::{Domain, ParsedDomain};
use passthru_host::read_bounded;
use rustix::fs::{Mode, OFlags};

use crate::diagnostics;
use crate::document::Document;
use crate::error::Error;
use crate::exit::Code;

/// Size limit of a domain's file: the parser's own.
const MAX_BYTES: u64 = 16 << 20;

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {name}")]
struct Unreadable {
    name: String,
    source: io::Error,
}

/// A file that is not text.
#[derive(Debug, thiserror::Error)]
#[error("{name} is not UTF-8 text")]
struct NotText {
    name: String,
    source: Utf8Error,
}

/// A file that is too large to be a domain's.
#[derive(Debug, thiserror::Error)]
#[error("{name} has more than {} MiB", MAX_BYTES >> 20)]
struct TooLarge {
    name: String,
}

/// Reads a file; `-` is standard input.
///
/// # Errors
/// If the file cannot be read, has more than 16 MiB or is not UTF-8 text, then an error with exit
/// code 3.
pub(crate) fn read(path: &Path) -> Result<Document, Error> {
    if path == Path::new("-") {
        let bytes = read_bounded(io::stdin(), MAX_BYTES);
        return document("<stdin>".into(), bytes);
    }

    let bytes = open(path).and_then(|file| read_bounded(file, MAX_BYTES));
    document(path.display().to_string(), bytes)
}

/// Makes a document of a file's bytes, or an error of the failure to read them.
fn document(name: String, bytes: io::Result<Vec<u8>>) -> Result<Document, Error> {
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            let hint = "give a domain's XML file: this file is too large to be one";
            return Err(Error::new(Code::Domain, TooLarge { name }).hint(Some(hint)));
        }
        Err(source) => {
            let hint = unreadable_hint(source.kind());
            return Err(Error::new(Code::Domain, Unreadable { name, source }).hint(hint));
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Document::new(name, text)),
        Err(error) => {
            let hint = encoding_hint(error.as_bytes());
            let source = error.utf8_error();
            Err(Error::new(Code::Domain, NotText { name, source }).hint(Some(hint)))
        }
    }
}

/// Parses a document as a domain, as far as possible. Prints notes on the parts that have no
/// effect.
pub(crate) fn parse_with_errors(document: &Document) -> Result<ParsedDomain, Error> {
    let parsed = ParsedDomain::parse(document.text())
        .map_err(|error| Error::in_document(document, error.into()))?;
    diagnostics::notes(document, &parsed.notes, parsed.more_notes);
    Ok(parsed)
}

/// Parses a document as a domain. Prints notes on the parts that have no effect.
pub(crate) fn parse(document: &Document) -> Result<Domain, Error> {
    parse_with_errors(document)?
        .into_domain()
        .map_err(|errors| Error::in_document(document, errors))
}

/// Opens a file for reading. Does not wait at a FIFO that no program has opened for writing: the
/// file is then empty.
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

/// Returns the hint for bytes that are not UTF-8. UTF-16 starts with a byte order mark, or with a
/// `<` and a zero in either order.
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
    fn unreadable_file_comes_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let (message, hint) = message_and_hint(read(folder.path()).unwrap_err());
        assert!(
            message.starts_with("cannot read ") && hint.contains("in this folder"),
            "{message}: {hint}"
        );

        let missing = read(&folder.path().join("missing.xml")).unwrap_err();
        assert!(message_and_hint(missing).1.contains("standard input"));
    }

    #[test]
    fn fifo_without_writer_and_endless_device_do_not_hang() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(read(&fifo).unwrap().text(), "");

        let (message, _) = message_and_hint(read(Path::new("/dev/zero")).unwrap_err());
        assert_eq!(message, "/dev/zero has more than 16 MiB");
    }

    #[test]
    fn fifo_with_a_writer_is_read_to_its_end() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let thread = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            std::io::Write::write_all(&mut writer, b"<domain/>").unwrap();
        });
        assert_eq!(read(Path::new(&path)).unwrap().text(), "<domain/>");

        thread.join().unwrap();
    }

    #[test]
    fn text_in_another_encoding_comes_with_a_hint() {
        let utf_16 = document("x".into(), Ok(b"\xff\xfe<\0d\0".to_vec())).unwrap_err();
        let (message, hint) = message_and_hint(utf_16);
        assert_eq!(message, "x is not UTF-8 text");
        assert!(hint.contains("UTF-16"));

        let binary = document("x".into(), Ok(b"QFI\xfb\0\0".to_vec())).unwrap_err();
        assert!(message_and_hint(binary).1.contains("another encoding"));
    }

    #[test]
    fn too_large_file_is_refused_with_the_limit() {
        let mut bytes = vec![b' '; 16 << 20];
        assert!(document("x".into(), read_bounded(bytes.as_slice(), MAX_BYTES)).is_ok());

        // The first byte of a character: the size is checked before the encoding.
        bytes.push(0xc3);
        let read = read_bounded(bytes.as_slice(), MAX_BYTES);
        let (message, hint) = message_and_hint(document("x".into(), read).unwrap_err());
        assert!(
            message == "x has more than 16 MiB" && hint.contains("too large to be one"),
            "{message}: {hint}"
        );
    }
}
