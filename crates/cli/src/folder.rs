//! Folders of this program, which depend on the environment.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use passthru_guest::{LOG_DIR, RUN_DIR};

/// Returns the folder of the folders of the caller's guests: [`RUN_DIR`] for root, else
/// `$XDG_RUNTIME_DIR/passthru`. If the variable is unset or names a folder of another user, as it
/// may after `su`, then `/run/user/UID/passthru`.
pub(crate) fn run_dir() -> PathBuf {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return RUN_DIR.into();
    }
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| is_folder_of(path, uid.as_raw()))
        .unwrap_or_else(|| format!("/run/user/{}", uid.as_raw()).into())
        .join("passthru")
}

/// Returns the folder of the logs of the caller's guests: [`LOG_DIR`] for root, else a folder below
/// [`run_dir`].
pub(crate) fn log_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return LOG_DIR.into();
    }
    run_dir().join("log")
}

fn is_folder_of(path: &Path, uid: u32) -> bool {
    path.is_absolute() && std::fs::metadata(path).is_ok_and(|found| found.uid() == uid)
}

/// Returns the folder in which the properties of QEMUs are cached: `/var/cache/passthru` for root,
/// else `$XDG_CACHE_HOME/passthru` or `~/.cache/passthru`.
pub(crate) fn cache_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/cache/passthru".into();
    }
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cache")))
        .unwrap_or_default()
        .join("passthru")
}

/// Returns the path of the messages of a guest's detached supervisor.
pub(crate) fn supervisor_log(guest: &str) -> PathBuf {
    log_dir().join("supervisor").join(format!("{guest}.log"))
}
