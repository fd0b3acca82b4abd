//! The server of the control socket, with clients over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use passthru_guest::{control_path, listen_for_control};
use passthru_supervisor::control::{
    self, Access, ErrorMessage, Incoming, MAX_CLIENTS, MAX_LONG_REQUEST, MAX_REQUEST, MAX_WAITING,
    Members, Peer, Progress, Request, Response, Server,
};
use rustix::event::{PollFd, Timespec, poll};
use rustix::process::{Gid, Uid, geteuid};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Makes a server of the guest `vm`, in a folder that every user can reach.
fn server(access: Access) -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let path = control_path(folder.path(), "vm");
    let listener = listen_for_control(&path).unwrap();
    (Server::new(listener, "vm", access).unwrap(), folder)
}

fn connect(folder: &TempDir) -> UnixStream {
    let stream = UnixStream::connect(control_path(folder.path(), "vm")).unwrap();
    let limit = Some(Duration::from_secs(5));
    stream.set_read_timeout(limit).unwrap();
    stream.set_write_timeout(limit).unwrap();
    stream
}

/// Runs one turn of a loop. Returns the requests of that turn, and whether there was an event.
fn turn(server: &mut Server) -> (Vec<Incoming>, bool) {
    let entries = server.poll_entries();
    let mut sources = Vec::new();
    let mut fds = Vec::new();
    for entry in &entries {
        sources.push(entry.source);
        fds.push(PollFd::from_borrowed_fd(entry.fd, entry.flags));
    }

    let limit = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    let count = poll(&mut fds, Some(&limit)).unwrap();
    let events: Vec<_> = fds.iter().map(PollFd::revents).collect();
    for (source, events) in sources.into_iter().zip(events) {
        if !events.is_empty() {
            server.ready(source, events);
        }
    }

    (server.take_requests(), count > 0)
}

/// Runs turns until nothing happens any more.
fn settle(server: &mut Server) -> Vec<Incoming> {
    let mut all = Vec::new();
    for _ in 0..1000 {
        let (requests, has_event) = turn(server);
        all.extend(requests);
        if !has_event && !server.has_requests() {
            return all;
        }
    }

    panic!("the server does not come to rest");
}

fn read_line(stream: &UnixStream) -> Value {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        (&*stream).read_exact(&mut byte).unwrap();
        if byte[0] == b'\n' {
            return serde_json::from_slice(&line).unwrap();
        }
        line.push(byte[0]);
    }
}

/// Reads the greeting of a server that has accepted the client.
fn read_hello(stream: &UnixStream) {
    let hello = read_line(stream);
    assert_eq!(hello["hello"]["guest"], "vm", "{hello}");
    assert_eq!(hello["hello"]["protocol"], control::PROTOCOL);
}

/// Reads an error, after which the server closes the connection.
fn read_refusal(stream: &UnixStream) -> ErrorMessage {
    let mut error = read_line(stream);
    let mut rest = Vec::new();
    match (&*stream).read_to_end(&mut rest) {
        Ok(_) => {}
        // The server closed the connection without reading all of it.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }

    assert!(rest.is_empty());
    serde_json::from_value(error["error"].take()).unwrap()
}

/// Lets the server work, which passes no request on. Reads the greeting and the error that a client
/// gets then.
fn settle_refused(server: &mut Server, client: &UnixStream) -> ErrorMessage {
    assert!(settle(server).is_empty());

    read_hello(client);
    read_refusal(client)
}

fn done() -> Response {
    Response::Result(Value::Null)
}

#[test]
fn request_has_its_answer() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);

    assert!(settle(&mut server).is_empty());

    read_hello(&client);
    client
        .write_all(b"{\"command\":\"stop\",\"force\":true}\n")
        .unwrap();

    let incoming = settle(&mut server).remove(0);
    let stop = Request::Stop {
        timeout: None,
        force: true,
    };

    assert_eq!(incoming.request, stop);

    let peer = server.peer(incoming.client).unwrap();

    assert_eq!(peer.pid, std::process::id());

    assert!(server.send(incoming.client, &Response::Result(json!("ended")), None));
    assert_eq!(read_line(&client), json!({"result": "ended"}));

    drop(client);
    settle(&mut server);

    assert!(!server.is_open(incoming.client));
}

#[test]
fn half_a_line_waits() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client.write_all(b"{\"command\":").unwrap();

    assert!(settle(&mut server).is_empty());

    client.write_all(b"\"pause\"").unwrap();

    assert!(settle(&mut server).is_empty());

    client.write_all(b"}\n{\"comm").unwrap();

    assert_eq!(settle(&mut server)[0].request, Request::Pause {});
}

#[test]
fn next_request_waits_for_the_answer_to_the_first() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client
        .write_all(b"{\"command\":\"pause\"}\n{\"command\":\"resume\"}\n")
        .unwrap();

    let first = settle(&mut server);

    assert_eq!(first.len(), 1);

    let id = first[0].client;
    let progress = Response::Progress(Progress {
        op: "wait".into(),
        at: 0,
        of: 1,
        pinned: None,
    });
    server.send(id, &progress, None);

    assert!(!server.has_requests());

    server.send(id, &done(), None);

    assert!(server.has_requests());
    assert_eq!(settle(&mut server)[0].request, Request::Resume {});
}

#[test]
fn client_that_has_sent_all_still_gets_its_answer() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client.write_all(b"{\"command\":\"info\"}\n").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let id = settle(&mut server)[0].client;

    assert!(server.is_open(id));

    server.send(id, &done(), None);
    read_hello(&client);

    assert_eq!(read_line(&client), json!({"result": null}));

    settle(&mut server);

    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn request_of_a_client_that_is_gone_counts() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    settle(&mut server);
    client.write_all(b"{\"command\":\"stop\"}\n").unwrap();
    drop(client);

    let requests = settle(&mut server);

    assert_eq!(requests.len(), 1);
    assert!(!server.is_open(requests[0].client));
    assert!(!server.send(requests[0].client, &done(), None));
}

#[test]
fn client_that_does_not_read_is_closed() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client.write_all(b"{\"command\":\"events\"}\n").unwrap();
    let id = settle(&mut server)[0].client;
    let event = Response::Event(json!({"event": "x".repeat(10_000)}));
    let mut sent = 0;
    while server.send(id, &event, None) {
        sent += 1;
        assert!(server.waiting(id).unwrap() <= MAX_WAITING);
        assert!(sent < 1_000, "nothing closes the client");
    }

    assert!(sent * 10_000 >= MAX_WAITING - 10_100, "{sent}");
    assert!(!server.is_open(id));

    settle(&mut server);

    assert_eq!(server.waiting(id), None);
    assert_eq!(server.poll_entries().len(), 1);
}

#[test]
fn progress_is_dropped_while_the_client_does_not_read() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client.write_all(b"{\"command\":\"pause\"}\n").unwrap();
    let id = settle(&mut server)[0].client;
    let progress = Response::Progress(Progress {
        op: "x".repeat(1_000),
        at: 1,
        of: 2,
        pinned: Some(1),
    });
    for _ in 0..5_000 {
        assert!(server.send(id, &progress, None));
    }

    assert!(server.waiting(id).unwrap() < 2_000);
}

#[test]
fn long_answer_becomes_an_error() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client.write_all(b"{\"command\":\"dump-xml\"}\n").unwrap();
    let id = settle(&mut server)[0].client;
    let answer = Response::Result("x".repeat(MAX_WAITING).into());

    assert!(server.send(id, &answer, None));

    read_hello(&client);
    let error = read_line(&client);

    assert_eq!(error["error"]["kind"], "too-large");
    assert_eq!(error["error"]["message"], "the answer is longer than 1 MiB");
}

/// Sends bytes from a thread, since the server takes them in parts.
fn send_all(client: &UnixStream, bytes: Vec<u8>) -> thread::JoinHandle<io::Result<()>> {
    let mut client = client.try_clone().unwrap();
    thread::spawn(move || client.write_all(&bytes))
}

/// Runs turns until a thread has ended and its bytes are read.
fn settle_with<T>(server: &mut Server, thread: thread::JoinHandle<T>) -> (Vec<Incoming>, T) {
    let mut all = Vec::new();
    while !thread.is_finished() {
        all.extend(turn(server).0);
    }
    all.extend(settle(server));
    (all, thread.join().unwrap())
}

#[test]
fn oversized_request_is_refused() {
    let (mut server, folder) = server(Access::default());
    for bytes in [
        format!("{{\"command\":\"{}\"}}\n", "x".repeat(MAX_LONG_REQUEST)).into_bytes(),
        vec![b' '; MAX_LONG_REQUEST + 1],
    ] {
        let client = connect(&folder);
        let sender = send_all(&client, bytes);
        let (requests, _) = settle_with(&mut server, sender);
        assert!(requests.is_empty());
        read_hello(&client);
        let error = read_refusal(&client);
        assert_eq!(error.kind, control::ErrorKind::TooLarge);
        assert_eq!(error.message, "the request is longer than 1024 KiB");
        assert_eq!(server.poll_entries().len(), 1);
    }
}

#[test]
fn only_an_attach_may_be_long() {
    let (mut server, folder) = server(Access::default());
    let text = "x".repeat(MAX_REQUEST);
    let client = connect(&folder);
    let line = json!({"command": "qmp", "line": text}).to_string() + "\n";
    let sender = send_all(&client, line.into_bytes());

    assert!(settle_with(&mut server, sender).0.is_empty());

    read_hello(&client);
    let error = read_refusal(&client);

    assert_eq!(error.message, "the request is longer than 64 KiB");

    let client = connect(&folder);
    let line = json!({"command": "attach", "xml": text}).to_string() + "\n";
    let sender = send_all(&client, line.into_bytes());
    let (requests, _) = settle_with(&mut server, sender);

    assert!(matches!(requests[0].request, Request::Attach { .. }));
}

#[test]
fn answered_client_that_sends_no_more_is_dropped() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client.write_all(b"{\"command\":\"pause\"}\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let id = settle(&mut server)[0].client;

    server.send(id, &done(), None);

    // poll(2) reports nothing of the client any more.
    assert!(server.has_requests());
    assert!(server.take_requests().is_empty());

    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();

    assert!(text.ends_with("{\"result\":null}\n"), "{text}");
}

#[test]
fn line_that_is_not_a_request_is_refused() {
    let (mut server, folder) = server(Access::default());
    let mut client = connect(&folder);
    client
        .write_all(b"GET / HTTP/1.1\n{\"command\":\"stop\"}\n")
        .unwrap();

    let error = settle_refused(&mut server, &client);

    assert_eq!(error.kind, control::ErrorKind::BadRequest);
    assert!(
        error.message.starts_with("the line is not a request: "),
        "{error}"
    );
}

#[test]
fn seventeenth_client_is_refused() {
    let (mut server, folder) = server(Access::default());
    let mut clients = Vec::new();
    for _ in 0..MAX_CLIENTS {
        clients.push(connect(&folder));
    }
    settle(&mut server);
    let late = connect(&folder);
    settle(&mut server);
    let error = read_refusal(&late);

    assert_eq!(error.kind, control::ErrorKind::Busy);
    assert_eq!(error.message, "the guest 'vm' has too many clients");

    drop(clients.pop());
    settle(&mut server);
    let next = connect(&folder);
    settle(&mut server);
    read_hello(&next);
}

#[path = "control/descriptors.rs"]
mod descriptors;
#[path = "control/users.rs"]
mod users;
