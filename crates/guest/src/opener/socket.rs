//! Connections to sockets of the file system, which never wait without end: a listener that does
//! not accept connections may be anyone's.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time that a listener has to make room for another connection.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether there is room.
const LOOK: Duration = Duration::from_millis(10);

/// Connects to a listening socket. The connection waits for data, as a usual one.
///
/// # Errors
/// If the listener has no room for a connection for a second, then `TimedOut`; else what the kernel
/// answered.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let end = Instant::now() + PATIENCE;
    loop {
        match try_connect(path) {
            Err(Errno::AGAIN) if Instant::now() < end => sleep(LOOK),
            Err(Errno::AGAIN) => {
                let message = "its listener does not accept connections";
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            Err(errno) => return Err(errno.into()),
            Ok(stream) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
        }
    }
}

/// Returns whether a process may listen on a socket.
pub(crate) fn is_listened_on(path: &Path) -> bool {
    try_connect(path).map(drop) != Err(Errno::CONNREFUSED)
}

fn try_connect(path: &Path) -> rustix::io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opener::Opener;
    use crate::run::leftovers::Leftovers;
    use crate::start::user::User;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::sync::mpsc;

    /// Makes a listener that accepts nothing and has no room for another connection.
    fn crowded(path: &Path) -> (OwnedFd, Vec<UnixStream>) {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let mut streams = Vec::new();
        while let Ok(stream) = try_connect(path) {
            streams.push(stream);
        }
        (socket, streams)
    }

    /// Does something that must end soon.
    fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(work()));
        receiver.recv_timeout(Duration::from_secs(5)).unwrap()
    }

    #[test]
    fn listener_that_does_not_accept_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("socket");
        let _listener = crowded(&path);
        let connected = path.clone();
        let error = soon(move || Opener::new(&User::choose(None).unwrap()).connect(&connected))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "its listener does not accept connections"
        );
        let replaced = path.clone();
        let user = User::choose(None).unwrap();
        soon(move || {
            Leftovers::default()
                .listen(&replaced, &Opener::new(&user))
                .map(drop)
        })
        .unwrap_err();
        assert!(path.exists());
    }

    #[test]
    fn connection_waits_for_data() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut ours = connect(&path).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        let writer = std::thread::spawn(move || {
            sleep(Duration::from_millis(50));
            theirs.write_all(b"x")
        });
        let mut byte = [0];
        ours.read_exact(&mut byte).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(byte, *b"x");
    }
}
