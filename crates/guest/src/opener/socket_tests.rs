//! Tests against listeners that do not accept connections.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::opener::Opener;
use super::socket::try_connect;
use crate::op::socket::listen;
use crate::start::user::User;

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

/// Runs work that must end within 5 s.
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
    let error =
        soon(move || Opener::new(&User::choose(None).unwrap()).connect(&connected)).unwrap_err();

    assert_eq!(
        error.to_string(),
        "its listener does not accept connections"
    );

    let replaced = path.clone();
    let user = User::choose(None).unwrap();
    soon(move || listen(&replaced, &Opener::new(&user)).map(drop)).unwrap_err();
    assert!(path.exists());
}
