//! The mode of the user's terminal while the guest's console is on it.

use std::io::{IsTerminal, Stdin};

use rustix::termios::{self, OptionalActions, SpecialCodeIndex, Termios};

/// Terminal mode in which each key goes to the guest at once, and the guest echoes it. Ctrl-C ends
/// the guest, except in raw mode. A drop restores the former mode.
pub(super) struct ConsoleMode {
    stdin: Stdin,
    former: Termios,
}

impl ConsoleMode {
    /// Changes the mode of the terminal on standard input. Returns `None` if standard input is not
    /// a terminal, or this process is in the background.
    pub(super) fn enter(raw: bool) -> rustix::io::Result<Option<Self>> {
        let stdin = std::io::stdin();
        // In the background, a change of mode would stop the process while it has devices.
        if !stdin.is_terminal() || !is_in_foreground(&stdin) {
            return Ok(None);
        }
        let former = termios::tcgetattr(&stdin)?;
        let mut mode = former.clone();
        mode.make_raw();
        if !raw {
            // Only Ctrl-C makes a signal. The other keys of signals go to the guest.
            mode.local_modes |= termios::LocalModes::ISIG;
            for other in [SpecialCodeIndex::VQUIT, SpecialCodeIndex::VSUSP] {
                mode.special_codes[other] = 0;
            }
        }

        // This program's own messages need a carriage return at their line ends.
        mode.output_modes |= termios::OutputModes::OPOST;
        termios::tcsetattr(&stdin, OptionalActions::Now, &mode)?;
        Ok(Some(Self { stdin, former }))
    }
}

fn is_in_foreground(terminal: &Stdin) -> bool {
    termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}

impl Drop for ConsoleMode {
    fn drop(&mut self) {
        if let Err(e) = termios::tcsetattr(&self.stdin, OptionalActions::Now, &self.former) {
            tracing::warn!("cannot restore the terminal's mode: {e}");
        }
    }
}
