//! What the VMM says on its standard error.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Lines that are kept.
const KEPT: usize = 200;

/// Collects the lines of a stream on a thread of its own. Kept for the error of a failed start; logged
/// from then on.
#[derive(Debug)]
pub(crate) struct Messages {
    shared: Arc<Mutex<Shared>>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: VecDeque<String>,
    log: bool,
}

impl Messages {
    pub(crate) fn collect(stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let to = Arc::clone(&shared);
        let reader = std::thread::spawn(move || read(stream, &to));
        Self { shared, reader: Some(reader) }
    }

    /// From now on lines are logged as they come; those so far are logged now.
    pub(crate) fn log(&self) {
        let mut shared = locked(&self.shared);
        shared.log = true;
        shared.lines.iter().for_each(|line| warn(line));
    }

    /// Waits for the end of the stream and returns what was kept of it.
    pub(crate) fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            // The thread panics never; if it did, what it kept is still of use.
            let _ = reader.join();
        }
        locked(&self.shared).lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }
}

fn read(stream: impl Read, to: &Mutex<Shared>) {
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut shared = locked(to);
        if shared.log {
            warn(&line);
        }
        if shared.lines.len() == KEPT {
            shared.lines.pop_front();
        }
        shared.lines.push_back(line);
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
        let kept = Messages::collect(std::io::Cursor::new(text)).finish();
        assert_eq!(kept.lines().next(), Some("3"));
        assert_eq!(kept.lines().count(), KEPT);
    }
}
