//! The host that this process runs on.

use passthru_host::Host;

/// Returns this host, with the SSH session that the user types in.
pub(crate) fn this_host() -> Host {
    Host::new().with_ssh_connection(&std::env::var("SSH_CONNECTION").unwrap_or_default())
}
