//! Descriptors that the caller passes in by name.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use passthru_guest::NamedFds;

use super::args::Args;
use crate::error::Error;
use crate::exit::Code;

/// First descriptor that a service manager passes (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// Returns the descriptors of `--fd` and those of a service manager (`sd_listen_fds(3)`), by name.
///
/// # Errors
/// If two descriptors have the same name, then an error with exit code 2.
pub(super) fn named_fds(args: &Args) -> Result<NamedFds, Error> {
    let mut named = BTreeMap::new();
    for (name, number) in listen_fds().into_iter().chain(args.fd.iter().cloned()) {
        let other = named.insert(name.clone(), number);
        if let Some(other) = other.filter(|other| *other != number) {
            let error = format!("two descriptors have the name '{name}': {other} and {number}");
            return Err(Error::new(Code::Usage, error));
        }
    }

    Ok(named)
}

/// Returns the descriptors that a service manager passed to this process under a name.
fn listen_fds() -> Vec<(String, RawFd)> {
    if variable("LISTEN_PID").parse() != Ok(std::process::id()) {
        return Vec::new();
    }
    let count: RawFd = variable("LISTEN_FDS").parse().unwrap_or(0);
    let names = variable("LISTEN_FDNAMES");
    let named = names
        .split(':')
        .map(String::from)
        .zip(FIRST..FIRST.saturating_add(count));
    named
        .filter(|(name, _)| !matches!(name.as_str(), "" | "unknown" | "stored"))
        .collect()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
