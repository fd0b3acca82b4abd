//! The guest's console: the pseudo terminal that the VMM made for it.

use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::control::{ClientId, Server};

/// Opens the pseudo terminal of a guest's console. `owner` is the VMM's user, who must own it.
///
/// # Errors
/// - If the path is not a terminal of the owner, then an error that says so.
/// - If it cannot be opened, then the kernel's error.
pub fn open_console(path: &Path, owner: u32) -> io::Result<OwnedFd> {
    let flags =
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let terminal = rustix::fs::open(path, flags, Mode::empty())?;
    if !terminal.is_terminal() || rustix::fs::fstat(&terminal)?.st_uid != owner {
        return Err(io::Error::other("it is not the VMM's own terminal"));
    }
    Ok(terminal)
}

/// The client that has the guest's console, if one has it.
#[derive(Debug, Default)]
pub(super) struct ConsoleHolder {
    client: Option<ClientId>,
}

impl ConsoleHolder {
    /// Returns the client that has the console, unless it is gone.
    pub(super) fn client(&self, server: &Server) -> Option<ClientId> {
        self.client.filter(|client| server.is_open(*client))
    }

    pub(super) fn set(&mut self, client: ClientId) {
        self.client = Some(client);
    }
}
