//! The messages that a VMM writes to standard error.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use passthru_qemu::printable;

/// Number of lines to keep.
const MAX_LINES: usize = 50;
/// Longest line, in bytes. The rest of a longer line becomes the next line.
const MAX_LINE: u64 = 2 << 10;
/// Time limit for the end of the stream once the VMM has ended. A child of the VMM may keep the
/// stream open.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// The last lines of a stream, which a thread collects. A failed start shows them in its error;
/// once the guest runs, they are logged.
#[derive(Debug)]
pub(crate) struct Messages {
    shared: Arc<Mutex<Shared>>,
    /// Channel that is closed when the stream has ended.
    end: Receiver<()>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: VecDeque<String>,
    log: bool,
}

impl Messages {
    /// Starts to collect the lines of a stream.
    ///
    /// # Errors
    /// If no thread can be made.
    pub(crate) fn collect(stream: impl Read + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let to = Arc::clone(&shared);
        let (running, end) = channel();
        thread::Builder::new().name("vmm".into()).spawn(move || {
            read(stream, &to);
            drop(running);
        })?;
        Ok(Self { shared, end })
    }

    /// Logs the lines so far, and from now on each line when it comes.
    pub(crate) fn log(&self) {
        let mut shared = locked(&self.shared);
        shared.log = true;
        for line in &shared.lines {
            warn(line);
        }
    }

    /// Waits a second at most for the end of the stream, and returns the lines.
    pub(crate) fn finish(&self) -> String {
        if self.end.recv_timeout(TIME_LIMIT) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("another process keeps the VMM's standard error open");
        }
        locked(&self.shared)
            .lines
            .iter()
            .fold(String::new(), |text, line| text + line + "\n")
    }
}

fn read(stream: impl Read, to: &Mutex<Shared>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(
        stream.by_ref().take(MAX_LINE).read_until(b'\n', &mut line),
        Ok(1..)
    ) {
        let text = printable(&String::from_utf8_lossy(line.trim_ascii_end()), usize::MAX);
        line.clear();
        let mut shared = locked(to);
        if shared.log {
            warn(&text);
        }
        if shared.lines.len() == MAX_LINES {
            shared.lines.pop_front();
        }
        shared.lines.push_back(text);
    }
}

fn warn(line: &str) {
    tracing::warn!("VMM: {line}");
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_are_kept() {
        let text: String = (0..MAX_LINES + 3).map(|n| format!("{n}\n")).collect();
        let kept = Messages::collect(std::io::Cursor::new(text))
            .unwrap()
            .finish();
        assert_eq!(kept.lines().next(), Some("3"));
        assert_eq!(kept.lines().count(), MAX_LINES);
    }

    #[test]
    fn flood_without_line_ends_takes_bounded_memory() {
        // A byte that grows most when it is escaped.
        let kept = Messages::collect(std::io::repeat(7).take(64 << 20))
            .unwrap()
            .finish();
        assert!(
            kept.len() <= MAX_LINES * (usize::try_from(MAX_LINE).unwrap() * 6 + 1),
            "{}",
            kept.len()
        );
    }

    #[test]
    fn control_characters_of_the_vmm_are_escaped() {
        let text = "\x1b]0;owned\x07 \u{9b}2J\n";
        let kept = Messages::collect(std::io::Cursor::new(text))
            .unwrap()
            .finish();
        assert_eq!(kept, "\\u{1b}]0;owned\\u{7} \\u{9b}2J\n");
    }

    #[test]
    fn open_stream_is_not_waited_for() {
        let (read, write) = std::io::pipe().unwrap();
        let messages = Messages::collect(read).unwrap();
        assert_eq!(messages.finish(), "");
        drop(write);
    }
}
