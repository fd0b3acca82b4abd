//! What the VMM says on its standard error.

use passthru_qemu::printable;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that are kept.
const KEPT: usize = 50;
/// Bytes of a line; the rest becomes the next one.
const LONGEST: u64 = 2 << 10;
/// How long the end of the stream is waited for once the VMM has ended: a child of it may hold it
/// open.
const PATIENCE: Duration = Duration::from_secs(1);

/// Collects the lines of a stream on a thread of its own. Kept for the error of a failed start;
/// logged from then on.
#[derive(Debug)]
pub(crate) struct Messages {
    shared: Arc<Mutex<Shared>>,
    /// Closed when the stream has ended.
    end: Receiver<()>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: VecDeque<String>,
    log: bool,
}

impl Messages {
    /// Begins to collect.
    ///
    /// # Errors
    /// If there is no room for another thread.
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

    /// From now on lines are logged as they come; those so far are logged now.
    pub(crate) fn log(&self) {
        let mut shared = locked(&self.shared);
        shared.log = true;
        shared.lines.iter().for_each(|line| warn(line));
    }

    /// Waits for the end of the stream, a little, and returns what was kept of it.
    pub(crate) fn finish(&self) -> String {
        if self.end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
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
        stream.by_ref().take(LONGEST).read_until(b'\n', &mut line),
        Ok(1..)
    ) {
        let text = printable(&String::from_utf8_lossy(line.trim_ascii_end()), usize::MAX);
        line.clear();
        let mut shared = locked(to);
        if shared.log {
            warn(&text);
        }
        if shared.lines.len() == KEPT {
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
    fn the_last_lines_are_kept() {
        let text: String = (0..KEPT + 3).map(|n| format!("{n}\n")).collect();
        let kept = Messages::collect(std::io::Cursor::new(text))
            .unwrap()
            .finish();
        assert_eq!(kept.lines().next(), Some("3"));
        assert_eq!(kept.lines().count(), KEPT);
    }

    #[test]
    fn a_flood_without_line_ends_takes_no_more_memory_than_the_lines_that_are_kept() {
        // Of what can grow most when it is escaped.
        let kept = Messages::collect(std::io::repeat(7).take(64 << 20))
            .unwrap()
            .finish();
        assert!(
            kept.len() <= KEPT * (usize::try_from(LONGEST).unwrap() * 6 + 1),
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
    fn a_stream_that_is_kept_open_is_not_waited_for() {
        let (read, write) = std::io::pipe().unwrap();
        let messages = Messages::collect(read).unwrap();
        assert_eq!(messages.finish(), "");
        drop(write);
    }
}
