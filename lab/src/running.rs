//! [`Running`]: a command that runs, with its output collected by threads.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::finished::Finished;

/// A command that runs, and its output so far.
pub(crate) struct Running {
    child: Child,
    stdout: CollectedOutput,
    stderr: CollectedOutput,
    command: String,
}

impl Running {
    /// Starts a command without input.
    #[track_caller]
    #[expect(clippy::panic, reason = "a helper of tests")]
    pub(crate) fn start(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let stdout = CollectedOutput::collect(child.stdout.take());
        let stderr = CollectedOutput::collect(child.stderr.take());
        Self {
            child,
            stdout,
            stderr,
            command: shown,
        }
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the number of bytes on standard output so far.
    pub(crate) fn printed(&self) -> usize {
        self.stdout.length()
    }

    /// Waits for the end of the command until `deadline`; returns `None` if the command still runs.
    pub(crate) fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(20));
        }

        None
    }

    /// Kills the command, which has not ended in time, and panics with its output.
    #[track_caller]
    #[expect(clippy::panic, reason = "a helper of tests")]
    pub(crate) fn fail_late(self, limit: Duration) -> ! {
        let finished = self.kill();
        panic!("not done after {limit:?}: {finished}")
    }

    /// Kills the command and returns its output.
    pub(crate) fn kill(mut self) -> Finished {
        let _ = self.child.kill();
        let status = self.child.wait().unwrap_or_default();
        self.finish(status)
    }

    /// Returns the whole output of a command that has ended.
    pub(crate) fn finish(self, status: ExitStatus) -> Finished {
        Finished {
            status,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            command: self.command,
        }
    }
}

/// A stream's bytes so far, read by a thread.
struct CollectedOutput {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl CollectedOutput {
    fn collect(stream: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = stream.map(|mut stream| {
            let bytes = Arc::clone(&bytes);
            thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut chunk) {
                    lock(&bytes).extend_from_slice(&chunk[..count]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn length(&self) -> usize {
        lock(&self.bytes).len()
    }

    /// Reads the stream to its end and returns all of its text.
    fn text(self) -> String {
        let _ = self.reader.map(JoinHandle::join);
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
    }
}

fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}
