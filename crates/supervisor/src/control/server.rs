//! The server: a part of a poll loop that never waits.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind as IoErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::connection::Connection;
use super::peer::{Access, Peer, Right};
use super::request::Request;
use super::response::{ErrorKind, Hello, Response};

/// Largest number of clients at a time.
pub const MAX_CLIENTS: usize = 16;
/// Number of clients that only administrators can be, so that operators cannot lock them out.
const ADMIN_CLIENTS: usize = 4;
/// Largest number of clients of one user who is not an administrator.
const CLIENTS_OF_A_USER: usize = 6;
/// Number of connections that are accepted in one turn of the loop.
const ACCEPTED_AT_ONCE: usize = 16;
/// Pause after a connection could not be accepted, since this process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(200);

/// Name of a client. No later client of the same server has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

/// A descriptor of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The listening socket.
    Listener,
    /// The socket of a client.
    Client(ClientId),
}

/// A descriptor to wait for. Hang-ups count even if `flags` is empty.
#[derive(Debug)]
pub struct PollEntry<'a> {
    /// Name of the descriptor, for [`Server::ready`].
    pub source: Source,
    /// Descriptor.
    pub fd: BorrowedFd<'a>,
    /// Events to wait for.
    pub flags: PollFlags,
}

/// A request that a client may make. It has no answer yet.
#[derive(Debug)]
pub struct Incoming {
    /// Client. It may be gone already: its request counts all the same.
    pub client: ClientId,
    /// Request.
    pub request: Request,
    /// Descriptors that came with the request: as many as it names.
    pub fds: Vec<OwnedFd>,
}

/// The server of a guest's control socket.
///
/// In each turn of its loop, the caller waits for [`Server::poll_entries`], passes what poll(2)
/// reported to [`Server::ready`], and takes the requests by [`Server::take_requests`]. Each request
/// needs a [`Response`] that is final. Until then the client's next request waits.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    guest: String,
    access: Access,
    own_uid: u32,
    clients: BTreeMap<ClientId, Connection>,
    next: u64,
    /// Time until which no connection is accepted.
    pause: Option<Instant>,
}

impl Server {
    /// Makes the server of a guest.
    ///
    /// # Errors
    /// If the listener cannot be set non-blocking, then the kernel's error.
    pub fn new(listener: UnixListener, guest: &str, access: Access) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            guest: guest.to_owned(),
            access,
            own_uid: rustix::process::geteuid().as_raw(),
            clients: BTreeMap::new(),
            next: 0,
            pause: None,
        })
    }

    /// Returns the descriptors to wait for.
    pub fn poll_entries(&self) -> Vec<PollEntry<'_>> {
        let mut entries = Vec::new();
        if self.pause.is_none() {
            entries.push(PollEntry {
                source: Source::Listener,
                fd: self.listener.as_fd(),
                flags: PollFlags::IN,
            });
        }

        for (id, client) in &self.clients {
            entries.push(PollEntry {
                source: Source::Client(*id),
                fd: client.as_fd(),
                flags: client.flags(),
            });
        }

        entries
    }

    /// Returns the time at which to call [`Server::take_requests`] without an event: connections
    /// are accepted again from then on.
    pub const fn deadline(&self) -> Option<Instant> {
        self.pause
    }

    /// Accepts, sends and reads what can go without waiting. `events` is what poll(2) reported.
    pub fn ready(&mut self, source: Source, events: PollFlags) {
        match source {
            Source::Listener => self.accept(),
            Source::Client(id) => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.advance(events);
                }
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTED_AT_ONCE {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.add(stream) {
                        tracing::debug!("cannot serve a client: {error}");
                    }
                }
                Err(error) if error.kind() == IoErrorKind::WouldBlock => return,
                Err(error) if error.kind() == IoErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!("cannot accept a client: {error}");
                    self.pause = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
    }

    /// Adds a client that is connected already. Returns `None` if the client is refused: it has no
    /// right, or there is no room.
    ///
    /// # Errors
    /// If the kernel does not report the client's credentials, then the kernel's error.
    pub fn add(&mut self, stream: UnixStream) -> io::Result<Option<ClientId>> {
        let peer = Peer::from_stream(&stream)?;
        let right = self.access.right_of(&peer, self.own_uid);
        let mut client = Connection::new(stream, peer, right)?;
        if right == Right::None {
            let message = format!(
                "the user {} may not use the guest '{}'",
                client.peer.uid, self.guest
            );
            client.refuse(ErrorKind::NotAllowed, message);
            return Ok(None);
        }

        if !self.has_room(client.peer.uid, right) {
            let message = format!("the guest '{}' has too many clients", self.guest);
            client.refuse(ErrorKind::Busy, message);
            return Ok(None);
        }

        client.push(&Response::Hello(Hello::for_guest(&self.guest)), Vec::new());
        let id = ClientId(self.next);
        self.next += 1;
        self.clients.insert(id, client);
        Ok(Some(id))
    }

    fn has_room(&self, uid: u32, right: Right) -> bool {
        if self.clients.len() >= MAX_CLIENTS {
            return false;
        }
        let same = self
            .clients
            .values()
            .filter(|client| client.peer.uid == uid);
        if right < Right::Admin && same.count() >= CLIENTS_OF_A_USER {
            return false;
        }
        let clients = self.clients.values();
        let operators = clients.filter(|client| client.right() < Right::Admin);
        right == Right::Admin || operators.count() < MAX_CLIENTS - ADMIN_CLIENTS
    }

    /// Returns whether [`Server::take_requests`] has something to take, or a client to drop.
    /// poll(2) does not report either.
    pub fn has_requests(&self) -> bool {
        let mut clients = self.clients.values();
        clients.any(|client| client.has_request() || client.is_gone())
    }

    /// Takes the next request of each client, and drops the clients that are gone. Requests that
    /// are refused are answered already.
    pub fn take_requests(&mut self) -> Vec<Incoming> {
        if self.pause.is_some_and(|end| end <= Instant::now()) {
            self.pause = None;
        }
        let mut requests = Vec::new();
        for (id, client) in &mut self.clients {
            if let Some((request, fds)) = client.take_request() {
                requests.push(Incoming {
                    client: *id,
                    request,
                    fds,
                });
            }
        }

        self.clients.retain(|_, client| !client.is_gone());
        requests
    }

    /// Sends a response, with a descriptor if there is one. Returns false if the client is gone.
    ///
    /// - A client for which more than 1 MiB would wait is closed.
    /// - A response that is longer than 1 MiB becomes an error.
    /// - Progress is dropped while anything waits for the client.
    pub fn send(&mut self, client: ClientId, response: &Response, fd: Option<OwnedFd>) -> bool {
        self.clients
            .get_mut(&client)
            .is_some_and(|client| client.push(response, fd.into_iter().collect()))
    }

    /// Closes the connection of a client, for example when it loses the console.
    pub fn close(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    /// Returns the connection of a client, unless the client is gone.
    fn connected(&self, client: ClientId) -> Option<&Connection> {
        let client = self.clients.get(&client);
        client.filter(|client| !client.is_gone())
    }

    /// Returns whether a client is connected.
    pub fn is_open(&self, client: ClientId) -> bool {
        self.connected(client).is_some()
    }

    /// Returns the number of bytes that wait for a client; `None` if the client is gone.
    pub fn waiting(&self, client: ClientId) -> Option<usize> {
        self.connected(client).map(Connection::waiting)
    }

    /// Returns the process of a client; `None` if the client is gone.
    pub fn peer(&self, client: ClientId) -> Option<&Peer> {
        self.connected(client).map(|client| &client.peer)
    }
}
