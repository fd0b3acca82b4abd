//! The connection to the monitor of a VMM that is not trusted to answer.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use passthru_qemu::monitor::{self, Command, Ticket};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde_json::Value;

use super::machine::Machine;
use crate::error::Error;

/// Interval between two tries to connect.
const INTERVAL: Duration = Duration::from_millis(50);

/// The time limit of a wait for a VMM, which the caller can end too.
pub(crate) struct Patience<'a> {
    until: Instant,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Patience<'a> {
    /// Begins a wait of this length.
    pub(crate) fn new(time: Duration, interrupted: &'a dyn Fn() -> bool) -> Self {
        Self {
            until: Instant::now() + time,
            interrupted,
        }
    }

    /// Checks that the wait may go on.
    ///
    /// # Errors
    /// - If the caller interrupts, then [`Error::Interrupted`].
    /// - If the time is over, then [`Error::Monitor`].
    fn check(&self) -> Result<(), Error> {
        if (self.interrupted)() {
            return Err(Error::Interrupted);
        }
        if Instant::now() < self.until {
            return Ok(());
        }
        let what = "monitor".into();
        Err(Error::Monitor(monitor::Error::Timeout { what }))
    }

    /// Connects to a socket. A VMM that is stopped does not take the connection.
    ///
    /// # Errors
    /// - Those of [`check`](Self::check).
    /// - If the socket refuses the connection, then [`Error::Monitor`].
    pub(crate) fn connect(&self, path: &Path) -> Result<UnixStream, Error> {
        let address = SocketAddrUnix::new(path).map_err(|errno| monitor_error(errno.into()))?;
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
            let socket = socket.map_err(|errno| monitor_error(errno.into()))?;
            match connect(&socket, &address) {
                Ok(()) => return Ok(socket.into()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(monitor_error(errno.into())),
            }
            self.check()?;
            sleep(INTERVAL);
        }
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// - Those of [`check`](Self::check).
    /// - If the VMM refuses the command, or has ended, then [`Error::Monitor`].
    pub(crate) fn ask(&self, machine: &mut Machine, command: &Command) -> Result<Value, Error> {
        let ticket = machine.submit(command)?;
        self.wait(machine, ticket)
    }

    /// Waits for an answer.
    ///
    /// # Errors
    /// Those of [`ask`](Self::ask).
    pub(crate) fn wait(&self, machine: &mut Machine, ticket: Ticket) -> Result<Value, Error> {
        let answer = machine.wait(ticket, &|| self.check().is_err());
        match answer {
            Err(Error::Interrupted) => self.check().and(Err(Error::Interrupted)),
            answer => answer,
        }
    }
}

/// Returns the error of a connection that cannot be made.
pub(crate) fn monitor_error(source: io::Error) -> Error {
    let what = "connect".into();
    Error::Monitor(monitor::Error::Io { what, source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rustix::net::listen;

    use super::*;

    #[test]
    fn monitor_that_takes_no_connection_has_a_time_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listen(&listener, 0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let patience = Patience::new(Duration::from_millis(200), &|| false);
        let begin = Instant::now();
        let error = patience.connect(&path).unwrap_err();

        assert!(
            matches!(error, Error::Monitor(monitor::Error::Timeout { .. })),
            "{error}"
        );
        assert!(begin.elapsed() < Duration::from_secs(5));

        let patience = Patience::new(Duration::from_secs(60), &|| true);
        assert!(matches!(patience.connect(&path), Err(Error::Interrupted)));
    }

    #[test]
    fn dead_socket_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.sock");
        drop(UnixListener::bind(&path).unwrap());
        let patience = Patience::new(Duration::from_secs(60), &|| false);
        let error = patience.connect(&path).unwrap_err();

        assert!(
            matches!(error, Error::Monitor(monitor::Error::Io { .. })),
            "{error}"
        );
    }
}
