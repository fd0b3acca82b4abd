//! What the terminal can show.

use std::io::IsTerminal;

/// Whether messages on standard error are in colour: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    std::io::stderr().is_terminal() && !unwanted
}
