//! Lines that wait to be sent to a client.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::io::{Errno, Result};

use super::fd_stream::{borrow, send};

/// A line that waits, with the descriptors that go with its first byte.
#[derive(Debug)]
struct Line {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
    /// Number of bytes that were sent.
    sent: usize,
}

/// Lines that were not sent yet, or only in part.
#[derive(Debug, Default)]
pub(super) struct Output {
    lines: VecDeque<Line>,
    /// Number of bytes that wait.
    waiting: usize,
}

impl Output {
    /// Adds a line.
    pub(super) fn push(&mut self, bytes: Vec<u8>, fds: Vec<OwnedFd>) {
        self.waiting += bytes.len();
        self.lines.push_back(Line {
            bytes,
            fds,
            sent: 0,
        });
    }

    /// Returns the number of bytes that wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Sends as much as a non-blocking socket takes.
    ///
    /// # Errors
    /// If the socket fails, then its error.
    pub(super) fn flush(&mut self, stream: &UnixStream) -> Result<()> {
        while let Some(line) = self.lines.front_mut() {
            let rest = &line.bytes[line.sent..];
            let count = match send(stream, rest, &borrow(&line.fds)) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            line.fds.clear();
            line.sent += count;
            self.waiting -= count;
            if line.sent == line.bytes.len() {
                self.lines.pop_front();
            }
        }

        Ok(())
    }
}
