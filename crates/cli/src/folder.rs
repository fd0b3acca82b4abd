//! Folders of this program, which depend on the environment.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use passthru_guest::RUN_DIR;

/// Returns the folder of the folders of the caller's guests: [`RUN_DIR`] for root, else
/// `$XDG_RUNTIME_DIR/passthru`. If the variable is unset or names a folder of another user, as it
/// may after `su`, then `/run/user/UID/passthru`.
pub(crate) fn run_dir() -> PathBuf {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return RUN_DIR.into();
    }
    let is_own = |path: &PathBuf| {
        path.is_absolute() && std::fs::metadata(path).is_ok_and(|found| found.uid() == uid.as_raw())
    };
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(is_own)
        .unwrap_or_else(|| format!("/run/user/{}", uid.as_raw()).into())
        .join("passthru")
}

/// Returns the folder in which the properties of QEMUs are cached: `/var/cache/passthru` for root,
/// else `$XDG_CACHE_HOME/passthru` or `~/.cache/passthru`.
pub(crate) fn cache_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/cache/passthru".into();
    }
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_default()
        .join("passthru")
}
