//! Properties of the terminal.

use std::io::{self, IsTerminal};

use rustix::termios::tcgetwinsize;

/// Returns whether messages on standard error have colours: on a terminal, unless `NO_COLOR` is
/// set.
pub(crate) fn colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    io::stderr().is_terminal() && !unwanted
}

/// Returns the number of columns of the terminal on standard output. Returns `None` if standard
/// output is not a terminal, or its width is unknown.
pub(crate) fn width() -> Option<u16> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}
