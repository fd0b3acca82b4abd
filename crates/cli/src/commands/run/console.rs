//! The guest's console, between its pseudo terminal and the user's standard streams.

use super::terminal::ConsoleMode;
use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Ctrl-]: ends the guest, wherever the other keys go.
const ESCAPE: u8 = 0x1d;
/// Bytes that are moved at a time.
const CHUNK: usize = 4096;

/// A console that is connected.
pub(super) struct Console {
    pty: Option<OwnedFd>,
    stdin_open: bool,
    /// What the user typed and the guest has not read yet.
    pending: Vec<u8>,
    mode: Option<ConsoleMode>,
}

/// What the user did on the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Something for the guest, or nothing.
    Input,
    /// The escape key.
    Escape,
}

impl Console {
    /// Connects the guest's pseudo terminal to standard input and output.
    pub(super) fn connect(path: &Path, raw: bool) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let pty = rustix::fs::open(path, flags, Mode::empty())?;
        if !pty.is_terminal() {
            return Err(io::Error::other("it is no terminal"));
        }
        Ok(Self { pty: Some(pty), stdin_open: true, pending: Vec::new(), mode: ConsoleMode::enter(raw)? })
    }

    /// Whether the user's terminal has been given over to the console.
    pub(super) fn on_terminal(&self) -> bool {
        self.mode.is_some()
    }

    /// The pseudo terminal, and what to wait for on it.
    pub(super) fn pty(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let events = if self.pending.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        self.pty.as_ref().map(|pty| (pty.as_fd(), events))
    }

    /// Whether there is room for more of what the user types.
    pub(super) fn wants_input(&self) -> bool {
        self.stdin_open && self.pty.is_some() && self.pending.len() < CHUNK
    }

    /// Takes what the user typed.
    pub(super) fn read_input(&mut self) -> Typed {
        let mut buffer = [0; CHUNK];
        // Not through std's buffer, which would keep what poll cannot see.
        match rustix::io::read(io::stdin(), &mut buffer) {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Ok(0) | Err(_) => self.stdin_open = false,
            Ok(n) => self.pending.extend(buffer.iter().take(n)),
        }
        let escape = self.mode.is_some() && self.pending.contains(&ESCAPE);
        if escape {
            self.pending.retain(|byte| *byte != ESCAPE);
        }
        if escape { Typed::Escape } else { Typed::Input }
    }

    /// Moves what can be moved without waiting, in both directions.
    pub(super) fn transfer(&mut self) {
        let Some(pty) = &self.pty else { return };
        match rustix::io::write(pty, &self.pending) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => self.pending.clear(),
        }
        let mut buffer = [0; CHUNK];
        loop {
            match rustix::io::read(pty, &mut buffer) {
                Ok(n) if n > 0 => show(buffer.get(..n).unwrap_or_default()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                // The VMM has closed its end.
                Ok(_) | Err(_) => break,
            }
        }
        self.pty = None;
    }
}

/// Writes what the guest says. A standard output that is gone does not end the guest.
pub(super) fn show(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}
