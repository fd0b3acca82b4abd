//! The user of a guest, and errors about guests as they reach the user.

use crate::commands::host_code;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Code;
use passthru_guest::{
    Error as GuestError, RECORD_DIR, RUN_DIR, RecordError, Records, StateError, User,
};
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
    let hint = hint(&error).or_else(|| error.hint());
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

/// Returns what the user can do with the commands of this program.
fn hint(error: &GuestError) -> Option<String> {
    Some(match error {
        GuestError::NewDevice {
            moved_to: Some(_), ..
        } => "change the address in the domain, or use --accept-new-device to give it this device"
            .into(),
        GuestError::NewDevice { .. } => {
            "check the address in the domain, or use --accept-new-device to give it this device"
                .into()
        }
        GuestError::Record(RecordError::Damaged { name, .. }) => {
            format!("run `passthru forget {name}` to drop it, if the guest may get another user id")
        }
        GuestError::Record(RecordError::Version { name, .. }) => {
            format!("use the passthru that wrote it, or run `passthru forget {name}` to drop it")
        }
        GuestError::Record(RecordError::UidInUse { name, .. }) => {
            format!("run `passthru forget {name}`; the next start then takes another id")
        }
        GuestError::Record(RecordError::Unknown { known, .. }) if known.is_empty() => {
            "no guest has a record: the first start makes it".into()
        }
        GuestError::Record(RecordError::Unknown { known, .. }) => {
            format!("name one of: {}", known.join(", "))
        }
        GuestError::Record(RecordError::NoFreeUid { .. }) => {
            "set another uid-range in /etc/passthru/config.toml, or forget guests that are gone"
                .into()
        }
        GuestError::Record(RecordError::Shared { guest, .. }) => format!(
            "name no user to give each guest its own, or use --share-user; \
             `passthru forget {guest}` frees the user"
        ),
        GuestError::Record(RecordError::File { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            "run it as root".into()
        }
        GuestError::State(StateError::VmmLives { pid, .. }) => {
            format!(
                "wait until process {pid} has written its data and ended, or end it: kill {pid}"
            )
        }
        GuestError::State(StateError::VmmUnseen { note, .. }) => format!(
            "run it where the guest was started, on the host or in its container, with /proc mounted; if \
             that container has ended, remove {}",
            note.display()
        ),
        GuestError::State(StateError::UserLives { uid, note, .. }) => format!(
            "look at them: ps -fU {uid}; end the VMM if it is one of them, else remove {}",
            note.display()
        ),
        GuestError::State(StateError::Make { path, .. }) if path.starts_with("/run/user") => {
            "set XDG_RUNTIME_DIR to a folder of your own".into()
        }
        GuestError::State(StateError::BadNote { path, .. }) if path.ends_with("vmm.json") => {
            format!(
                "make sure that no VMM of this guest runs, then remove {}",
                path.display()
            )
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_is_the_vmm_is_to_be_ended() {
        let name = || "vm".to_owned();
        let note = "/run/passthru/domain-vm/vmm.json";
        let cases = [
            (
                StateError::VmmLives {
                    name: name(),
                    pid: 4242,
                },
                true,
            ),
            (
                StateError::VmmUnseen {
                    name: name(),
                    pid: 4242,
                    note: PathBuf::from(note),
                },
                false,
            ),
            (
                StateError::UserLives {
                    name: name(),
                    uid: 7,
                    note: note.into(),
                },
                false,
            ),
        ];
        for (error, kills) in cases {
            let hint = hint(&GuestError::State(error)).unwrap();
            assert_eq!(hint.contains("kill"), kills, "{hint}");
        }
    }
}
