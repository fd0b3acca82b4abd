//! Asking a QEMU what it has, as the user that VMMs run as.

use crate::error::Error;
use crate::exit::Code;
use passthru_domain::{Arch, Domain, Platform};
use passthru_guest::User;
use passthru_qemu::{Cache, Capabilities};
use std::path::{Path, PathBuf};

/// Asks a QEMU what it has: the one named, else the domain's own.
pub(crate) fn probe(
    domain: &Domain,
    named: Option<&Path>,
    user: &User,
) -> Result<Capabilities, Error> {
    let arch = domain.os.kind.arch.unwrap_or(Arch::X86_64);
    let own = || {
        domain
            .devices
            .emulator
            .clone()
            .unwrap_or_else(|| Capabilities::builtin(arch).emulator(arch))
    };
    let binary = named.map_or_else(|| PathBuf::from(own()), Path::to_path_buf);
    let cache = Cache { dir: cache_dir() };
    cache
        .probe(&binary, &|command| user.spawn(command))
        .map_err(|e| {
            let hint = e.hint();
            Error::new(Code::Emulator, e).hint(hint)
        })
}

fn cache_dir() -> PathBuf {
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
