//! The user's terminal while the guest's console is on it.

use std::io::{IsTerminal, Stdin};

use rustix::termios::{self, OptionalActions, SpecialCodeIndex, Termios};

/// Standard input given over to the guest's console: characters pass as they are typed, and the
/// guest echoes them. Ctrl-C still ends the guest, unless it is to pass too. Restored on drop.
pub(super) struct ConsoleMode {
    stdin: Stdin,
    former: Termios,
}

impl ConsoleMode {
    /// Changes the terminal's mode, where standard input is one.
    pub(super) fn enter(raw: bool) -> rustix::io::Result<Option<Self>> {
        let stdin = std::io::stdin();
        // From the background the change of mode would stop the process, with devices taken.
        let in_front =
            || termios::tcgetpgrp(&stdin).is_ok_and(|front| front == rustix::process::getpgrp());
        if !stdin.is_terminal() || !in_front() {
            return Ok(None);
        }
        let former = termios::tcgetattr(&stdin)?;
        let mut mode = former.clone();
        mode.make_raw();
        if !raw {
            // Ctrl-C alone stays a signal: what else makes one is for the guest.
            mode.local_modes |= termios::LocalModes::ISIG;
            for other in [SpecialCodeIndex::VQUIT, SpecialCodeIndex::VSUSP] {
                mode.special_codes[other] = 0;
            }
        }
        // The guest sends its own line ends; the host's messages in between need a carriage return.
        mode.output_modes |= termios::OutputModes::OPOST;
        termios::tcsetattr(&stdin, OptionalActions::Now, &mode)?;
        Ok(Some(Self { stdin, former }))
    }
}

impl Drop for ConsoleMode {
    fn drop(&mut self) {
        if let Err(e) = termios::tcsetattr(&self.stdin, OptionalActions::Now, &self.former) {
            tracing::warn!("cannot restore the terminal's mode: {e}");
        }
    }
}
