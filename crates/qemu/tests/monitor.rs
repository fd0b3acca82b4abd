//! The client that waits, against a scripted monitor.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use passthru_domain::device::graphics::GraphicsType;
use passthru_qemu::monitor::{BlockingQmp, Command, Error, Qmp};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(50);

/// The monitor's side of the connection.
struct Peer {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Peer {
    /// Sends a line.
    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.write_all(b"\r\n").unwrap();
    }

    /// Reads a command; null if the client closed the connection.
    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_default()
    }

    /// Reads a command, answers it and returns it.
    fn answer(&mut self, answer: Value) -> Value {
        let command = self.receive();
        self.send(&json!({ "return": answer, "id": command["id"] }).to_string());
        command
    }
}

/// Connects to a monitor that greets and then follows the script.
fn monitor(
    script: impl FnOnce(&mut Peer) + Send + 'static,
) -> (Result<BlockingQmp, Error>, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let thread = thread::spawn(move || {
        let mut peer = Peer {
            reader: BufReader::new(theirs.try_clone().unwrap()),
            stream: theirs,
        };
        peer.send(r#"{"QMP":{"version":{"qemu":{"major":11,"minor":1,"micro":3}},"capabilities":["oob"]}}"#);
        assert_eq!(peer.answer(json!({}))["execute"], "qmp_capabilities");
        script(&mut peer);
    });
    (BlockingQmp::connect(ours, LIMIT), thread)
}

#[test]
fn command_gets_its_own_answer_between_events() {
    let (qmp, peer) = monitor(|peer| {
        let command = peer.receive();
        assert_eq!(
            (&command["execute"], &command["arguments"]["id"]),
            (&json!("device_del"), &json!("hostdev0"))
        );
        peer.send(
            r#"{"event":"NIC_RX_FILTER_CHANGED","timestamp":{"seconds":1,"microseconds":2}}"#,
        );
        peer.send(r#"{"return":"of another command","id":4711}"#);
        peer.send(r#"{"event":"DEVICE_DELETED","data":{"device":"hostdev0"},"timestamp":{"seconds":3,"microseconds":4}}"#);
        peer.send(&json!({ "return": { "done": true }, "id": command["id"] }).to_string());
    });
    let mut qmp = qmp.unwrap();
    assert_eq!(
        qmp.execute(&Command::DeviceDel {
            id: "hostdev0".into()
        })
        .unwrap(),
        json!({ "done": true })
    );

    let deleted = qmp.wait_for(&["DEVICE_DELETED"], LIMIT).unwrap();
    assert_eq!(
        (deleted.data["device"].as_str(), deleted.timestamp.seconds),
        (Some("hostdev0"), 3)
    );
    assert_eq!(
        qmp.next_event(Duration::ZERO).unwrap().unwrap().name,
        "NIC_RX_FILTER_CHANGED"
    );

    peer.join().unwrap();
}

#[test]
fn refusal_names_command_class_and_reason() {
    let (qmp, peer) = monitor(|peer| {
        let id = peer.receive()["id"].clone();
        let error = json!({ "class": "DeviceNotFound", "desc": "Device 'x' not found" });
        peer.send(&json!({ "error": error, "id": id }).to_string());
    });
    let error = qmp
        .unwrap()
        .execute(&Command::DeviceDel { id: "x".into() })
        .unwrap_err();
    assert_eq!(error.to_string(), "QMP device_del: Device 'x' not found");
    assert!(matches!(error, Error::Command { class, .. } if class == "DeviceNotFound"));

    peer.join().unwrap();
}

fn password(text: &str) -> Command {
    Command::SetPassword {
        protocol: GraphicsType::Vnc,
        password: String::from(text).into(),
        connected: None,
    }
}

#[test]
fn refusal_does_not_repeat_a_password() {
    for (text, desc, shown) in [
        (
            "vel'vet",
            "bad: vel'vet",
            "the monitor's text repeats the password, and is left out",
        ),
        ("velvet", "Could not set password", "Could not set password"),
        ("", "Could not set password", "Could not set password"),
    ] {
        let (qmp, peer) = monitor(move |peer| {
            let id = peer.receive()["id"].clone();
            let error = json!({ "class": desc, "desc": desc });
            peer.send(&json!({ "error": error, "id": id }).to_string());
        });
        let error = qmp.unwrap().execute(&password(text)).unwrap_err();
        assert_eq!(error.to_string(), format!("QMP set_password: {shown}"));
        assert!(
            text != "vel'vet" || !format!("{error:?}").contains(text),
            "{error:?}"
        );

        peer.join().unwrap();
    }
}

#[test]
fn password_that_waits_is_not_shown_for_debugging() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let mut qmp = Qmp::new(ours, LIMIT).unwrap();
    qmp.submit(&password("velvet"), vec![]).unwrap();

    let shown = format!("{qmp:?} {:?}", password("velvet"));
    let bytes = format!("{:?}", b"velvet");

    assert!(!shown.contains("velvet"), "{shown}");
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
}

#[test]
fn silent_monitor_ends_the_wait_at_the_limit() {
    let (qmp, peer) = monitor(|peer| {
        let slow = peer.receive();
        let next = peer.receive();
        peer.send(&json!({ "return": "late", "id": slow["id"] }).to_string());
        peer.send(&json!({ "return": "in time", "id": next["id"] }).to_string());
    });
    let mut qmp = qmp.unwrap();
    qmp.set_limit(SHORT);
    let start = Instant::now();

    assert!(matches!(qmp.execute(&Command::Stop), Err(Error::Timeout { what }) if what == "stop"));
    assert!(start.elapsed() >= SHORT && start.elapsed() < LIMIT);

    qmp.set_limit(LIMIT);
    assert_eq!(qmp.execute(&Command::QueryStatus).unwrap(), "in time");

    peer.join().unwrap();
}

#[test]
fn events_without_an_answer_end_in_a_timeout() {
    let (qmp, peer) = monitor(|peer| {
        peer.receive();
        for _ in 0..20 {
            if writeln!(peer.stream, r#"{{"event":"RTC_CHANGE"}}"#).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    let mut qmp = qmp.unwrap();
    qmp.set_limit(SHORT);
    assert!(matches!(
        qmp.execute(&Command::Stop),
        Err(Error::Timeout { .. })
    ));

    drop(qmp);
    peer.join().unwrap();
}

/// Connects to a monitor that sends only events, until the client closes the connection.
fn flooding() -> (BlockingQmp, JoinHandle<()>) {
    let (qmp, peer) = monitor(|peer| {
        let end = Instant::now() + LIMIT;
        let events = "{\"event\":\"RTC_CHANGE\"}\n".repeat(100);
        while Instant::now() < end && peer.stream.write_all(events.as_bytes()).is_ok() {}
    });
    let mut qmp = qmp.unwrap();
    qmp.set_limit(SHORT);
    (qmp, peer)
}

#[test]
fn flood_of_events_does_not_delay_the_limit() {
    let start = Instant::now();
    let (mut qmp, peer) = flooding();
    assert!(matches!(
        qmp.execute(&Command::Stop),
        Err(Error::Timeout { .. })
    ));
    assert!(matches!(
        qmp.wait_for(&["SHUTDOWN"], SHORT),
        Err(Error::Timeout { .. })
    ));
    assert!(start.elapsed() < LIMIT / 2, "{:?}", start.elapsed());

    drop(qmp);
    peer.join().unwrap();
}

#[test]
fn newest_events_are_kept_of_too_many() {
    let (qmp, peer) = monitor(|peer| {
        let id = peer.receive()["id"].clone();
        for number in 0..2000 {
            peer.send(&json!({ "event": "RTC_CHANGE", "data": number }).to_string());
        }
        peer.send(&json!({ "return": {}, "id": id }).to_string());
    });
    let mut qmp = qmp.unwrap();
    qmp.execute(&Command::Stop).unwrap();
    let numbers: Vec<_> = std::iter::from_fn(|| qmp.next_event(Duration::ZERO).ok().flatten())
        .map(|event| event.data)
        .collect();

    assert_eq!(
        (numbers.len(), numbers.first(), numbers.last()),
        (1024, Some(&json!(976)), Some(&json!(1999)))
    );

    peer.join().unwrap();
}

#[test]
fn read_events_are_reported_as_buffered() {
    let (qmp, peer) = monitor(|peer| {
        let id = peer.receive()["id"].clone();
        let all = [
            json!({ "event": "STOP" }),
            json!({ "return": {}, "id": id }),
            json!({ "event": "RESUME" }),
        ];
        let all: String = all.iter().map(|message| format!("{message}\n")).collect();
        peer.stream.write_all(all.as_bytes()).unwrap();
    });
    let mut qmp = qmp.unwrap();
    assert!(!qmp.has_buffered());

    qmp.execute(&Command::Stop).unwrap();
    peer.join().unwrap();
    for name in ["STOP", "RESUME"] {
        assert!(qmp.has_buffered(), "{name}");
        assert_eq!(qmp.next_event(Duration::ZERO).unwrap().unwrap().name, name);
    }

    assert!(!qmp.has_buffered());
}

#[test]
fn answer_in_pieces_and_two_lines_at_once_are_read() {
    let (qmp, peer) = monitor(|peer| {
        let id = peer.receive()["id"].clone();
        let answer = json!({ "return": "x".repeat(100_000), "id": id }).to_string();
        for piece in answer.as_bytes().chunks(30_000) {
            peer.stream.write_all(piece).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        peer.send("\r\n\r\n{\"event\":\"STOP\"}\r\n{\"event\":\"RESUME\"}");
    });
    let mut qmp = qmp.unwrap();
    assert_eq!(
        qmp.execute(&Command::QueryMachines)
            .unwrap()
            .as_str()
            .unwrap()
            .len(),
        100_000
    );
    assert_eq!(qmp.wait_for(&["RESUME"], LIMIT).unwrap().name, "RESUME");
    assert_eq!(qmp.next_event(LIMIT).unwrap().unwrap().name, "STOP");
    assert_eq!(qmp.next_event(SHORT).ok().flatten(), None);

    peer.join().unwrap();
}

#[test]
fn end_of_the_emulator_is_closed_and_not_a_timeout() {
    let (qmp, peer) = monitor(|peer| {
        peer.receive();
    });
    let error = qmp.unwrap().execute(&Command::Quit).unwrap_err();
    assert!(error.is_closed(), "{error}");

    peer.join().unwrap();
}

#[test]
fn peer_that_is_not_a_monitor_is_refused() {
    for (said, expected) in [
        ("{\"hello\":1}\n", "not a QMP monitor"),
        ("SSH-2.0\n", "malformed message"),
    ] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(said.as_bytes()).unwrap();
        let error = BlockingQmp::connect(ours, LIMIT).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
