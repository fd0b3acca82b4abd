//! The events of a guest, for clients over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixStream;

use passthru_guest::{control_path, listen_for_control};
use passthru_qemu::monitor::{Event, Timestamp};
use passthru_supervisor::EventFan;
use passthru_supervisor::control::{self, Access, ClientId, Server};
use rustix::event::PollFlags;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Listener {
    id: ClientId,
    reader: BufReader<UnixStream>,
    /// Beginning of a line whose rest has not come.
    partial: String,
}

fn server() -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = control_path(folder.path(), "vm");
    let listener = listen_for_control(&path).unwrap();
    let server = Server::new(listener, "vm", Access::default()).unwrap();
    (server, folder)
}

fn listen(server: &mut Server, fan: &mut EventFan) -> Listener {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let id = server.add(ours).unwrap().unwrap();
    fan.add(id);
    let mut listener = Listener {
        id,
        reader: BufReader::new(theirs),
        partial: String::new(),
    };
    assert!(listener.read().unwrap()["hello"].is_object());
    listener
}

impl Listener {
    /// Reads a line that has come; `None` if none has.
    fn read(&mut self) -> Option<Value> {
        match self.reader.read_line(&mut self.partial) {
            Ok(0) => None,
            Ok(_) => {
                let value = serde_json::from_str(&self.partial).unwrap();
                self.partial.clear();
                Some(value)
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                None
            }
        }
    }

    /// Reads all that comes, while the server goes on.
    fn drain(&mut self, server: &mut Server, fan: &mut EventFan) -> Vec<Value> {
        let mut lines = Vec::new();
        loop {
            server.ready(control::Source::Client(self.id), PollFlags::OUT);
            fan.deliver(server);
            let before = lines.len();
            while let Some(line) = self.read() {
                lines.push(line);
            }
            if lines.len() == before {
                return lines;
            }
        }
    }
}

/// Makes an event of 1000 bytes and more.
fn event(number: u64) -> Value {
    json!({"event": number, "data": "x".repeat(1000)})
}

/// Returns the numbers of events, and minus the number of those that were lost.
fn numbers(lines: &[Value]) -> Vec<i64> {
    let mut numbers = Vec::new();
    for line in lines {
        let lost = line["lost"].as_i64().map(|count| -count);
        numbers.push(lost.or(line["event"]["event"].as_i64()).unwrap());
    }

    numbers
}

#[test]
fn event_of_qemu_keeps_its_name_data_and_time() {
    let (mut server, _folder) = server();
    let mut fan = EventFan::default();
    let mut listener = listen(&mut server, &mut fan);
    fan.push_qmp(&Event {
        name: "DEVICE_DELETED".into(),
        data: json!({"device": "hostdev0"}),
        timestamp: Timestamp {
            seconds: 5,
            microseconds: 7,
        },
    });

    let lines = listener.drain(&mut server, &mut fan);
    let event = json!({
        "event": "DEVICE_DELETED",
        "data": {"device": "hostdev0"},
        "timestamp": {"seconds": 5, "microseconds": 7},
    });

    assert_eq!(lines, [json!({"event": event})]);
}

#[test]
fn slow_listener_loses_and_is_told() {
    let (mut server, _folder) = server();
    let mut fan = EventFan::default();
    let mut slow = listen(&mut server, &mut fan);
    let mut quick = listen(&mut server, &mut fan);
    let mut seen = Vec::new();
    for number in 0..2000 {
        fan.push(event(number));
        seen.extend(quick.drain(&mut server, &mut fan));
    }

    let all: Vec<i64> = (0..2000).collect();

    assert_eq!(numbers(&seen), all);
    assert!(server.is_open(slow.id));

    let late = numbers(&slow.drain(&mut server, &mut fan));
    let gap = late.iter().position(|number| *number < 0).unwrap();
    let lost = -late[gap];
    let next = gap as i64 + lost;
    let mut expected: Vec<i64> = (0..gap as i64).collect();
    expected.push(-lost);
    expected.extend(next..2000);

    assert_eq!(late, expected);
    assert!(lost > 500, "{lost}");

    // It has caught up, and loses nothing more.
    fan.push(event(2000));

    assert_eq!(numbers(&slow.drain(&mut server, &mut fan)), [2000]);
}

#[test]
fn later_listener_gets_later_events() {
    let (mut server, _folder) = server();
    let mut fan = EventFan::default();
    fan.push(event(0));
    let mut first = listen(&mut server, &mut fan);
    fan.push(event(1));
    let mut second = listen(&mut server, &mut fan);
    fan.push(event(2));

    assert_eq!(numbers(&first.drain(&mut server, &mut fan)), [1, 2]);
    assert_eq!(numbers(&second.drain(&mut server, &mut fan)), [2]);
}

#[test]
fn event_above_the_limit_is_lost() {
    let (mut server, _folder) = server();
    let mut fan = EventFan::default();
    let mut listener = listen(&mut server, &mut fan);
    fan.push(json!("x".repeat(1 << 20)));
    fan.push(event(1));

    assert_eq!(numbers(&listener.drain(&mut server, &mut fan)), [-1, 1]);
    assert!(server.is_open(listener.id));
}

#[test]
fn event_above_the_limit_leaves_the_others() {
    let (mut server, _folder) = server();
    let mut fan = EventFan::default();
    let mut listener = listen(&mut server, &mut fan);
    fan.push(event(1));
    fan.push(json!("x".repeat(1 << 20)));
    fan.push(event(2));

    assert_eq!(numbers(&listener.drain(&mut server, &mut fan)), [1, -1, 2]);
}

#[test]
fn listener_that_is_gone_is_removed() {
    let (mut server, _folder) = server();
    let mut fan = EventFan::default();
    let listener = listen(&mut server, &mut fan);
    let other = listen(&mut server, &mut fan);
    fan.remove(other.id);
    let id = listener.id;
    drop(listener);
    server.ready(control::Source::Client(id), PollFlags::HUP);

    assert!(server.take_requests().is_empty());

    fan.push(event(0));
    fan.deliver(&mut server);

    assert!(!fan.has_listeners());
}
