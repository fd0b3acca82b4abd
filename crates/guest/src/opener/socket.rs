//! Connections to sockets of the file system. Each wait has a limit, since the listener may belong
//! to any user and may not accept connections.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Time limit for a listener to make room for another connection.
const TIME_LIMIT: Duration = Duration::from_secs(1);
/// Pause between two tries to connect.
const PAUSE: Duration = Duration::from_millis(10);

/// Connects to a listening socket. Reads from the connection wait for data.
///
/// # Errors
/// - If the listener has no room for a connection for a second, then `TimedOut`.
/// - If the kernel refuses the connection, then the kernel's error.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let end = Instant::now() + TIME_LIMIT;
    loop {
        match try_connect(path) {
            Err(Errno::AGAIN) if Instant::now() < end => sleep(PAUSE),
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

/// Returns whether a process may listen on a socket: the kernel does not refuse a connection.
pub(crate) fn is_listened_on(path: &Path) -> bool {
    try_connect(path).map(drop) != Err(Errno::CONNREFUSED)
}

pub(super) fn try_connect(path: &Path) -> rustix::io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

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
