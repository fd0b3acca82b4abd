//! The client of the control socket, with the real server and with hostile ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use passthru_guest::{control_path, listen_for_control};
use passthru_supervisor::control::{
    self, Access, Client, ClientError, ErrorKind, ErrorMessage, Incoming, MAX_FDS, Progress, Reply,
    Request, Response, Server,
};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Serves one client until it is gone, and answers its requests by `answer`.
fn serve(
    answer: impl Fn(&mut Server, Incoming) + Send + 'static,
) -> (TempDir, thread::JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = control_path(folder.path(), "vm");
    let listener = listen_for_control(&path).unwrap();
    let mut server = Server::new(listener, "vm", Access::default()).unwrap();
    let thread = thread::spawn(move || {
        let mut has_client = false;
        while !has_client || server.poll_entries().len() > 1 {
            let entries = server.poll_entries();
            let mut fds = Vec::new();
            for entry in &entries {
                fds.push(PollFd::from_borrowed_fd(entry.fd, entry.flags));
            }
            poll(&mut fds, None).unwrap();
            let mut ready = Vec::new();
            for (entry, fd) in entries.iter().zip(&fds) {
                ready.push((entry.source, fd.revents()));
            }
            for (source, events) in ready {
                if !events.is_empty() {
                    server.ready(source, events);
                }
            }
            for incoming in server.take_requests() {
                answer(&mut server, incoming);
            }
            has_client |= server.poll_entries().len() > 1;
        }
    });
    (folder, thread)
}

/// Makes a client of a server that sends these bytes and closes the connection.
fn client_of(bytes: Vec<u8>) -> Result<Client, ClientError> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let sender = thread::spawn(move || {
        let _ = theirs.write_all(&bytes);
    });
    let client = Client::from_stream(ours);
    if client.is_err() {
        sender.join().unwrap();
    }
    client
}

fn hello(protocol: u32) -> String {
    json!({"hello": {"protocol": protocol, "version": "9.9.9", "guest": "vm"}}).to_string() + "\n"
}

const STOP: Request = Request::Stop {
    timeout: None,
    force: false,
};

#[test]
fn replies_come_in_their_order() {
    let (folder, server) = serve(|server, incoming| {
        assert_eq!(incoming.request, STOP);
        server.send(incoming.client, &Response::Event(json!("power")), None);
        server.send(incoming.client, &Response::Lost(3), None);
        let result = Response::Result(json!({"ended": true}));
        server.send(incoming.client, &result, None);
    });
    let mut client = Client::connect(folder.path(), "vm").unwrap();

    assert_eq!(client.hello().guest, "vm");

    let mut kinds = Vec::new();
    for reply in client.request(&STOP, &[]).unwrap() {
        kinds.push(match reply.unwrap() {
            Reply::Event(value) => format!("event {value}"),
            Reply::Lost(count) => format!("lost {count}"),
            Reply::Answer(answer) => format!("answer {}", answer.value),
            other => format!("{other:?}"),
        });
    }

    assert_eq!(
        kinds,
        ["event \"power\"", "lost 3", "answer {\"ended\":true}"]
    );

    // The connection has room for another request.
    let answer = client.call(&STOP, &[]).unwrap();

    assert_eq!(answer.value["ended"], true);

    drop(client);
    server.join().unwrap();
}

#[test]
fn progress_is_shown_before_the_answer() {
    let (folder, server) = serve(|server, incoming| {
        let progress = Progress {
            op: "pin".into(),
            at: 1,
            of: 2,
            pinned: Some(4096),
        };
        server.send(incoming.client, &Response::Progress(progress), None);
        server.send(incoming.client, &Response::Result(Value::Null), None);
    });
    let mut client = Client::connect(folder.path(), "vm").unwrap();
    let mut replies = client.request(&STOP, &[]).unwrap();
    let first = replies.next().unwrap().unwrap();

    assert!(
        matches!(
            first,
            Reply::Progress(Progress {
                pinned: Some(4096),
                ..
            })
        ),
        "{first:?}"
    );
    assert!(matches!(replies.next(), Some(Ok(Reply::Answer(_)))));
    assert!(replies.next().is_none());

    drop(client);
    server.join().unwrap();
}

#[test]
fn descriptors_go_both_ways() {
    let (folder, server) = serve(|server, mut incoming| {
        let fd = incoming.fds.remove(0);
        server.send(incoming.client, &Response::Result(Value::Null), Some(fd));
    });
    let (mut reader, writer) = io::pipe().unwrap();
    let mut client = Client::connect(folder.path(), "vm").unwrap();
    let writer = OwnedFd::from(writer);
    let mut answer = client.call(&Request::Save {}, &[writer.as_fd()]).unwrap();
    drop(writer);
    let back = answer.fds.remove(0);

    assert!(answer.fds.is_empty());

    File::from(back).write_all(b"round").unwrap();
    drop(client);
    server.join().unwrap();

    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();

    assert_eq!(text, "round");
}

#[test]
fn refused_request_carries_its_message() {
    let (folder, server) = serve(|server, incoming| {
        let message = ErrorMessage::new(ErrorKind::Guest, "it sleeps").with_hint("Wake it.");
        server.send(incoming.client, &Response::Error(message), None);
    });
    let mut client = Client::connect(folder.path(), "vm").unwrap();
    let error = client.call(&STOP, &[]).unwrap_err();
    let ClientError::Refused(message) = &error else {
        panic!("{error:?}");
    };

    assert_eq!(message.kind, ErrorKind::Guest);
    assert_eq!(message.hint.as_deref(), Some("Wake it."));
    assert_eq!(error.to_string(), "it sleeps");

    drop(client);
    server.join().unwrap();
}

#[test]
fn request_that_is_too_long_shows_the_refusal() {
    let (folder, server) = serve(|_, _| {});
    let mut client = Client::connect(folder.path(), "vm").unwrap();
    let request = Request::Attach {
        xml: "x".repeat(8 << 20),
        fds: vec![],
        accept_new_device: false,
    };
    let error = client.call(&request, &[]).unwrap_err();

    assert_eq!(
        error.to_string(),
        "the request is longer than 1024 KiB",
        "{error:?}"
    );

    server.join().unwrap();
}

#[test]
fn unfinished_request_blocks_the_next() {
    let (folder, server) = serve(|_, _| {});
    let mut client = Client::connect(folder.path(), "vm").unwrap();
    let _ = client.request(&STOP, &[]).unwrap();
    let error = client.request(&STOP, &[]).unwrap_err();

    assert!(matches!(error, ClientError::Unanswered), "{error}");

    drop(client);
    server.join().unwrap();
}

#[test]
fn request_with_too_many_descriptors_is_not_begun() {
    let mut client = client_of(Vec::from(hello(control::PROTOCOL))).unwrap();
    let fd = client.as_fd().try_clone_to_owned().unwrap();
    let fds = [fd.as_fd(); MAX_FDS + 1];

    for _ in 0..2 {
        let error = client.request(&Request::Pause {}, &fds).unwrap_err();
        assert!(matches!(error, ClientError::Io(_)), "{error}");
    }
}

#[test]
fn missing_guest_and_dead_supervisor_differ() {
    let folder = tempfile::tempdir().unwrap();
    let error = Client::connect(folder.path(), "vm").unwrap_err();

    assert!(matches!(error, ClientError::NoSocket { .. }), "{error}");

    drop(listen_for_control(&control_path(folder.path(), "vm")).unwrap());
    let error = Client::connect(folder.path(), "vm").unwrap_err();

    assert!(matches!(error, ClientError::NoServer { .. }), "{error}");

    let error = Client::connect(Path::new("/dev/null"), "vm").unwrap_err();

    assert_eq!(
        error.to_string(),
        "cannot connect to /dev/null/control/vm.sock"
    );
}

#[test]
fn guest_with_a_long_name_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let name = "x".repeat(200);
    let path = control_path(folder.path(), &name);
    let listener = listen_for_control(&path).unwrap();
    let server = thread::spawn(move || accept_and_greet(&listener));
    Client::connect(folder.path(), &name).unwrap();
    server.join().unwrap();
}

/// Serves one client without the server, and closes the connection after the introduction.
fn accept_and_greet(listener: &UnixListener) {
    listener.set_nonblocking(false).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream
        .write_all(hello(control::PROTOCOL).as_bytes())
        .unwrap();
}

#[test]
fn other_protocol_is_refused_by_name() {
    let error = client_of(hello(2).into_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the guest's supervisor is passthru 9.9.9, which has version 2 of the protocol, and this \
         program has version 1"
    );
}

#[test]
fn server_that_is_none_is_refused() {
    for bytes in ["", "{\"result\":null}\n", "{}\n", "HTTP/1.1 200 OK\r\n"] {
        assert!(client_of(bytes.into()).is_err(), "{bytes}");
    }
    let error = client_of(vec![b'x'; 4 << 20]).unwrap_err();

    assert!(matches!(error, ClientError::TooLong), "{error}");

    let refusal = "{\"error\":{\"kind\":\"busy\",\"message\":\"full\"}}\n";
    let error = client_of(refusal.into()).unwrap_err();

    assert_eq!(error.to_string(), "full");
}

#[test]
fn server_that_ends_within_a_request_is_named() {
    for rest in ["", "{\"result\":", "{\"hello\":{}}\n"] {
        let mut client = client_of((hello(1) + rest).into_bytes()).unwrap();
        let error = client.call(&STOP, &[]).unwrap_err();
        assert!(
            matches!(error, ClientError::Closed | ClientError::Malformed { .. }),
            "{error}"
        );
    }
}

#[test]
fn closed_connection_is_seen_by_poll() {
    let client = client_of(hello(1).into_bytes()).unwrap();
    let mut fds = [PollFd::new(&client, PollFlags::IN)];
    poll(&mut fds, None).unwrap();
    assert!(fds[0].revents().contains(PollFlags::HUP));
}
