//! The guest's console: moves bytes between its pseudo terminal and the user's standard streams.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use passthru_supervisor::open_console;
use rustix::event::PollFlags;
use rustix::io::Errno;

use super::console_mode::ConsoleMode;
use super::output_buffer::OutputBuffer;

/// Ctrl-], which ends the guest also in raw mode.
const ESCAPE: u8 = 0x1d;
/// Number of bytes to move at a time.
const CHUNK: usize = 4096;

/// The console of a guest, connected to the standard streams.
pub(crate) struct Console {
    pty: Option<OwnedFd>,
    stdin_open: bool,
    /// Input of the user that the guest has not read yet.
    pending: Vec<u8>,
    mode: Option<ConsoleMode>,
}

/// Input of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConsoleInput {
    /// Bytes for the guest, or none.
    Bytes,
    /// The escape key.
    Escape,
}

impl Console {
    /// Connects the guest's pseudo terminal to standard input and output. `owner` is the VMM's
    /// user, who must own the terminal.
    pub(crate) fn connect(path: &Path, owner: u32, raw: bool) -> io::Result<Self> {
        Self::of_terminal(open_console(path, owner)?, raw)
    }

    /// Connects a guest's pseudo terminal that is open already.
    pub(crate) fn of_terminal(pty: OwnedFd, raw: bool) -> io::Result<Self> {
        Ok(Self {
            pty: Some(pty),
            stdin_open: true,
            pending: Vec::new(),
            mode: ConsoleMode::enter(raw)?,
        })
    }

    /// Returns whether the console has the user's terminal.
    pub(crate) fn on_terminal(&self) -> bool {
        self.mode.is_some()
    }

    /// Returns the pseudo terminal and the events to wait for, if there are any.
    pub(crate) fn pty(&self, output: &OutputBuffer) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let read = if output.has_room() {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let write = if self.pending.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        let pty = self.pty.as_ref().filter(|_| !(read | write).is_empty())?;
        Some((pty.as_fd(), read | write))
    }

    /// Returns whether there is room for more input.
    pub(crate) fn wants_input(&self) -> bool {
        self.stdin_open && self.pty.is_some() && self.pending.len() < CHUNK
    }

    /// Reads input of the user.
    pub(crate) fn read_input(&mut self) -> ConsoleInput {
        let mut buffer = [0; CHUNK];
        // Not through std's buffer, whose bytes poll does not see.
        match rustix::io::read(io::stdin(), &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(0) | Err(_) => self.stdin_open = false,
            Ok(n) => self.pending.extend(buffer.iter().take(n)),
        }

        let escape = self.mode.is_some() && self.pending.contains(&ESCAPE);
        if escape {
            self.pending.retain(|byte| *byte != ESCAPE);
        }
        if escape {
            ConsoleInput::Escape
        } else {
            ConsoleInput::Bytes
        }
    }

    /// Moves bytes in both directions, without waiting, as far as there is room for them. Returns
    /// whether the guest had output.
    pub(crate) fn transfer(&mut self, output: &mut OutputBuffer) -> bool {
        self.write_input();
        output.has_room() && self.read_output(output)
    }

    /// Passes the user's input on to the guest.
    fn write_input(&mut self) {
        let Some(pty) = self.pty.as_ref().filter(|_| !self.pending.is_empty()) else {
            return;
        };
        match rustix::io::write(pty, &self.pending) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The VMM has closed its end.
            Err(_) => self.pty = None,
        }
    }

    fn read_output(&mut self, output: &mut OutputBuffer) -> bool {
        let Some(pty) = &self.pty else { return false };
        let mut buffer = [0; CHUNK];
        match rustix::io::read(pty, &mut buffer) {
            Ok(n) if n > 0 => {
                output.push(buffer.get(..n).unwrap_or_default());
                return true;
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The VMM has closed its end.
            Ok(_) | Err(_) => self.pty = None,
        }

        false
    }
}
