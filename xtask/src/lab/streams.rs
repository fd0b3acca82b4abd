//! The channels of a job: a socket pair for each virtio-serial port, served by a thread.

use std::io::{self, Read, Write, stdin};
use std::mem;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::output::Output;

/// An event of a running job.
#[derive(Debug)]
pub(super) enum Event {
    /// The job ended with this exit status.
    Exited(u8),
    /// One of the job's two outputs is complete.
    OutputEnded,
    /// This program got this signal.
    Signal(i32),
}

/// A record of a job's standard output. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Record(Arc<Mutex<RecordedOutput>>);

#[derive(Debug)]
struct RecordedOutput {
    output: Output,
    last: Instant,
}

impl Record {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(RecordedOutput {
            output: Output::default(),
            last: Instant::now(),
        })))
    }

    /// Takes all output so far.
    pub(super) fn take(&self) -> Output {
        mem::take(&mut self.lock().output)
    }

    /// Restarts the measurement of time without output.
    pub(super) fn start_clock(&self) {
        self.lock().last = Instant::now();
    }

    /// Returns the time since the last output, or since the restart of the measurement.
    pub(super) fn quiet_for(&self) -> Duration {
        self.lock().last.elapsed()
    }

    fn add(&self, bytes: &[u8]) {
        let mut kept = self.lock();
        kept.last = Instant::now();
        let now = kept.last;
        kept.output.add(bytes, now);
    }

    fn lock(&self) -> MutexGuard<'_, RecordedOutput> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A writer that also records.
pub(super) struct Recorded<T> {
    to: T,
    record: Option<Record>,
}

impl<T> Recorded<T> {
    pub(super) fn new(to: T, record: Option<Record>) -> Self {
        Self { to, record }
    }
}

impl<T: Write> Write for Recorded<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        if let Some(record) = &self.record {
            record.add(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Copies an output of the job to `to`, up to the end mark. Returns the end for QEMU.
pub(super) fn output(
    mut to: impl Write + Send + 'static,
    end_mark: &str,
    events: Sender<Event>,
) -> Result<OwnedFd> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let end_mark = end_mark.as_bytes().to_vec();
    thread::spawn(move || {
        let _ = copy_until(&mut ours, &mut to, &end_mark);
        let _ = events.send(Event::OutputEnded);
        // Later output must not block the job.
        let _ = io::copy(&mut ours, &mut io::sink());
    });
    Ok(theirs.into())
}

/// Copies standard input to the job, or ends the job's input at once. Returns the end for QEMU.
pub(super) fn input(forward: bool) -> Result<OwnedFd> {
    let (mut ours, theirs) = UnixStream::pair()?;
    thread::spawn(move || {
        if forward {
            let _ = io::copy(&mut stdin().lock(), &mut ours);
        }
        let _ = ours.shutdown(Shutdown::Write);
        // A closed socket would drop what QEMU has not read yet.
        let _ = ours.read(&mut [0]);
    });
    Ok(theirs.into())
}

/// Reads the job's exit status: a decimal number on a line. Returns the end for QEMU.
pub(super) fn status(events: Sender<Event>) -> Result<OwnedFd> {
    let (mut ours, theirs) = UnixStream::pair()?;
    thread::spawn(move || {
        let mut text = String::new();
        let mut byte = [0];
        while let Ok(1) = ours.read(&mut byte) {
            match byte[0] {
                b'\n' => break,
                other => text.push(other.into()),
            }
        }
        if let Ok(status) = text.trim().parse() {
            let _ = events.send(Event::Exited(status));
        }
        // Keeps the port open until the machine ends.
        let _ = ours.read(&mut byte);
    });
    Ok(theirs.into())
}

/// Copies up to the end mark, which is left out, or to the end of the stream.
fn copy_until(from: &mut impl Read, to: &mut impl Write, end_mark: &[u8]) -> io::Result<()> {
    let mut held = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let count = from.read(&mut chunk)?;
        held.extend_from_slice(&chunk[..count]);
        let end = find(&held, end_mark);
        let sure = match end {
            Some(position) => position,
            None if count == 0 => held.len(),
            None => held.len() - possible_beginning(&held, end_mark),
        };
        to.write_all(&held[..sure])?;
        to.flush()?;
        if end.is_some() || count == 0 {
            return Ok(());
        }
        held.drain(..sure);
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Returns the number of bytes at the end that may begin the end mark.
fn possible_beginning(bytes: &[u8], end_mark: &[u8]) -> usize {
    (1..end_mark.len())
        .rev()
        .find(|&length| bytes.ends_with(&end_mark[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that returns its chunks one by one.
    struct Chunks(Vec<&'static [u8]>);

    impl Read for Chunks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let chunk = self.0.remove(0);
            buffer[..chunk.len()].copy_from_slice(chunk);
            Ok(chunk.len())
        }
    }

    fn copied(chunks: &[&'static [u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        copy_until(&mut Chunks(chunks.to_vec()), &mut out, b"<END>").unwrap();
        out
    }

    #[test]
    fn end_mark_in_pieces_is_removed() {
        assert_eq!(copied(&[b"abc<E", b"N", b"D>"]), b"abc");
        assert_eq!(copied(&[b"abc<END>later"]), b"abc");
    }

    #[test]
    fn text_like_the_end_mark_is_kept() {
        assert_eq!(copied(&[b"a<EN", b"x<E", b"ND>"]), b"a<ENx");
        assert_eq!(copied(&[b"a<EN"]), b"a<EN");
    }
}
