//! Asking a QEMU for its capabilities, as the user that VMMs run as.

use std::path::{Path, PathBuf};

use passthru_domain::{Arch, Domain, Platform};
use passthru_guest::User;
use passthru_qemu::{Cache, Capabilities};

use crate::error::Error;
use crate::exit::Code;
use crate::folder::cache_dir;

/// Asks a QEMU for its capabilities: the named one, else the domain's own.
pub(crate) fn probe(
    domain: &Domain,
    named: Option<&Path>,
    user: &User,
) -> Result<Capabilities, Error> {
    let binary = match named {
        Some(named) => named.to_path_buf(),
        None => emulator(domain),
    };
    let cache = Cache { dir: cache_dir() };
    cache
        .probe(&binary, &|command| user.spawn(command))
        .map_err(|e| {
            let hint = e.hint();
            Error::new(Code::Emulator, e).hint(hint)
        })
}

/// Returns the domain's emulator, or the usual one of its architecture.
fn emulator(domain: &Domain) -> PathBuf {
    if let Some(named) = &domain.devices.emulator {
        return named.into();
    }
    let arch = domain.os.kind.arch.unwrap_or(Arch::X86_64);
    Capabilities::builtin(arch).emulator(arch).into()
}
