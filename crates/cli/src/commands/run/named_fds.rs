//! Descriptors that the caller passes in by name.

use std::collections::BTreeMap;

use passthru_domain::{Domain, Error as DomainError, Errors};
use passthru_guest::NamedFds;

use super::args::Args;
use crate::error::Error;
use crate::exit::Code;

/// First descriptor that a service manager passes (`SD_LISTEN_FDS_START`).
const FIRST: u32 = 3;

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

/// Checks that the caller passes a descriptor under each name that a complete domain uses.
///
/// # Errors
/// One error for each use of a name that no descriptor has, at the element that uses the name.
pub(super) fn check_names(domain: &Domain, named: &NamedFds) -> Result<(), Errors> {
    let names = domain.descriptor_names();
    let unknown = names
        .into_iter()
        .filter(|used| !named.contains_key(&used.name));
    Errors::check_all(unknown.map(|used| {
        DomainError::new(format!("no descriptor has the name '{}'", used.name))
            .at(used.span.0)
            .hint(unknown_name_hint(&used.name, named))
    }))
}

fn unknown_name_hint(name: &str, named: &NamedFds) -> String {
    let known: Vec<&str> = named.keys().map(String::as_str).collect();
    let given = if known.is_empty() {
        String::new()
    } else {
        format!("; the given names are: {}", known.join(", "))
    };
    format!(
        "pass it with --fd {name}=N, or as a descriptor named {name} from a service manager \
         (LISTEN_FDNAMES){given}"
    )
}

/// Returns the descriptors that a service manager passed to this process under a name.
fn listen_fds() -> Vec<(String, u32)> {
    if variable("LISTEN_PID").parse() != Ok(std::process::id()) {
        return Vec::new();
    }
    let count: u32 = variable("LISTEN_FDS").parse().unwrap_or(0);
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
