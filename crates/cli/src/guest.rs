//! The user of a guest, and errors about guests as they reach the user.

use crate::commands::host_code;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Code;
use crate::hint;
use passthru_guest::{Error as GuestError, RECORD_DIR, RUN_DIR, Records, User};
use passthru_host::Host;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Chooses the user that a guest's VMM runs as: the named one, else the configured one, else one of
/// the guest's own. Without root it is the caller.
pub(crate) fn user(
    named: Option<&str>,
    config: &Config,
    name: &str,
    host: &Host,
) -> Result<User, Error> {
    if let Some(named) = named.or(config.user.as_deref()) {
        return User::named(named).map_err(|error| {
            let hint = error.hint();
            Error::new(Code::Usage, error).hint(hint)
        });
    }
    match User::caller() {
        Some(caller) => Ok(caller),
        None => User::of_guest(name, &Records::new(RECORD_DIR), config.uid_range, host)
            .map_err(|error| self::error(error.into())),
    }
}

/// Returns where the folders of the caller's guests are: [`RUN_DIR`] for root, else a folder in
/// `$XDG_RUNTIME_DIR` (`/run/user/UID`). A folder of somebody else's, which `su` leaves set, does
/// not count.
pub(crate) fn run_dir() -> PathBuf {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return RUN_DIR.into();
    }
    let is_own = |path: &PathBuf| {
        path.is_absolute() && std::fs::metadata(path).is_ok_and(|found| found.uid() == uid.as_raw())
    };
    let named = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(is_own);
    named
        .unwrap_or_else(|| format!("/run/user/{}", uid.as_raw()).into())
        .join("passthru")
}

/// Returns the error of a command for one of a guest.
pub(crate) fn error(error: GuestError) -> Error {
    let hint = hint::guest_hint(&error);
    let code = match &error {
        GuestError::Ended { .. } | GuestError::Spawn { .. } | GuestError::Monitor(_) => {
            Code::Emulator
        }
        GuestError::Interrupted => Code::Interrupted,
        GuestError::NotRestored { .. } => Code::NotRestored,
        GuestError::Host(error) => host_code(error),
        GuestError::Image(_) | GuestError::CommandLine(_) => Code::Domain,
        _ => Code::Host,
    };
    Error::new(code, error).hint(hint)
}
