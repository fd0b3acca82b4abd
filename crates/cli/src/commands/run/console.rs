//! The guest's console, between its pseudo terminal and the user's standard streams.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::console_mode::ConsoleMode;
use super::screen::Screen;

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
    /// Connects the guest's pseudo terminal, which its VMM's user owns, to standard input and
    /// output.
    pub(super) fn connect(path: &Path, owner: u32, raw: bool) -> io::Result<Self> {
        let flags =
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let pty = rustix::fs::open(path, flags, Mode::empty())?;
        if !pty.is_terminal() || rustix::fs::fstat(&pty)?.st_uid != owner {
            return Err(io::Error::other("it is not the VMM's own terminal"));
        }
        Ok(Self {
            pty: Some(pty),
            stdin_open: true,
            pending: Vec::new(),
            mode: ConsoleMode::enter(raw)?,
        })
    }

    /// Whether the user's terminal has been given over to the console.
    pub(super) fn on_terminal(&self) -> bool {
        self.mode.is_some()
    }

    /// The pseudo terminal, and what to wait for on it.
    pub(super) fn pty(&self, screen: &Screen) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let output = if screen.has_room() {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let input = if self.pending.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        let pty = self.pty.as_ref().filter(|_| !(input | output).is_empty())?;
        Some((pty.as_fd(), input | output))
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
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(0) | Err(_) => self.stdin_open = false,
            Ok(n) => self.pending.extend(buffer.iter().take(n)),
        }
        let escape = self.mode.is_some() && self.pending.contains(&ESCAPE);
        if escape {
            self.pending.retain(|byte| *byte != ESCAPE);
        }
        if escape { Typed::Escape } else { Typed::Input }
    }

    /// Moves a piece in either direction, without waiting. Returns whether the guest had something
    /// to say.
    pub(super) fn transfer(&mut self, screen: &mut Screen) -> bool {
        let Some(pty) = &self.pty else { return false };
        match rustix::io::write(pty, &self.pending) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.pending.clear(),
        }
        let mut buffer = [0; CHUNK];
        match rustix::io::read(pty, &mut buffer) {
            Ok(n) if n > 0 => {
                screen.push(buffer.get(..n).unwrap_or_default());
                return true;
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The VMM has closed its end.
            Ok(_) | Err(_) => self.pty = None,
        }
        false
    }
}
