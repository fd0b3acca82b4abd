//! The monitor's client against a scripted peer.

#![allow(clippy::unwrap_used, clippy::panic)]

use passthru_qemu::monitor::{Error, Qmp};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(50);

/// The monitor's side of the connection.
struct Peer {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Peer {
    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.write_all(b"\r\n").unwrap();
    }

    /// Reads a command and returns it.
    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_default()
    }

    /// Reads a command and answers it.
    fn answer(&mut self, answer: Value) -> Value {
        let command = self.hear();
        self.say(&json!({ "return": answer, "id": command["id"] }).to_string());
        command
    }
}

/// Connects to a monitor that greets and then follows the script.
fn monitor(
    script: impl FnOnce(&mut Peer) + Send + 'static,
) -> (Result<Qmp, Error>, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let thread = thread::spawn(move || {
        let mut peer = Peer {
            reader: BufReader::new(theirs.try_clone().unwrap()),
            stream: theirs,
        };
        peer.say(r#"{"QMP":{"version":{"qemu":{"major":11,"minor":1,"micro":3}},"capabilities":["oob"]}}"#);
        assert_eq!(peer.answer(json!({}))["execute"], "qmp_capabilities");
        script(&mut peer);
    });
    (Qmp::connect(ours, LIMIT), thread)
}

#[test]
fn a_command_has_its_own_answer_though_events_come_between() {
    let (qmp, peer) = monitor(|peer| {
        let command = peer.hear();
        assert_eq!(
            (&command["execute"], &command["arguments"]["id"]),
            (&json!("device_del"), &json!("hostdev0"))
        );
        peer.say(r#"{"event":"NIC_RX_FILTER_CHANGED","timestamp":{"seconds":1,"microseconds":2}}"#);
        peer.say(r#"{"return":"of another command","id":4711}"#);
        peer.say(r#"{"event":"DEVICE_DELETED","data":{"device":"hostdev0"},"timestamp":{"seconds":3,"microseconds":4}}"#);
        peer.say(&json!({ "return": { "done": true }, "id": command["id"] }).to_string());
    });
    let mut qmp = qmp.unwrap();
    assert_eq!(
        qmp.execute("device_del", json!({ "id": "hostdev0" }))
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
fn a_refusal_says_the_command_the_class_and_the_reason() {
    let (qmp, peer) = monitor(|peer| {
        let id = peer.hear()["id"].clone();
        let error = json!({ "class": "DeviceNotFound", "desc": "Device 'x' not found" });
        peer.say(&json!({ "error": error, "id": id }).to_string());
    });
    let error = qmp
        .unwrap()
        .execute("device_del", json!({ "id": "x" }))
        .unwrap_err();
    assert_eq!(error.to_string(), "QMP device_del: Device 'x' not found");
    assert!(matches!(error, Error::Command { class, .. } if class == "DeviceNotFound"));
    peer.join().unwrap();
}

#[test]
fn a_silent_monitor_is_not_waited_for_longer_than_the_limit() {
    let (qmp, peer) = monitor(|peer| {
        let slow = peer.hear();
        let next = peer.hear();
        peer.say(&json!({ "return": "late", "id": slow["id"] }).to_string());
        peer.say(&json!({ "return": "in time", "id": next["id"] }).to_string());
    });
    let mut qmp = qmp.unwrap();
    qmp.set_limit(SHORT);
    let start = Instant::now();
    assert!(
        matches!(qmp.execute("stop", json!({})), Err(Error::Timeout { what }) if what == "stop")
    );
    assert!(start.elapsed() >= SHORT && start.elapsed() < LIMIT);
    qmp.set_limit(LIMIT);
    assert_eq!(qmp.execute("query-status", json!({})).unwrap(), "in time");
    peer.join().unwrap();
}

#[test]
fn a_monitor_that_only_chatters_is_not_an_answer() {
    let (qmp, peer) = monitor(|peer| {
        peer.hear();
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
        qmp.execute("stop", json!({})),
        Err(Error::Timeout { .. })
    ));
    drop(qmp);
    peer.join().unwrap();
}

/// A monitor that says nothing but events, for as long as somebody listens and no test waits for
/// it.
fn flooding() -> (Qmp, JoinHandle<()>) {
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
fn a_flood_of_events_does_not_hold_up_the_time_limit() {
    let start = Instant::now();
    let (mut qmp, peer) = flooding();
    assert!(matches!(
        qmp.execute("stop", json!({})),
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
fn of_many_events_the_newest_are_kept() {
    let (qmp, peer) = monitor(|peer| {
        let id = peer.hear()["id"].clone();
        for number in 0..2000 {
            peer.say(&json!({ "event": "RTC_CHANGE", "data": number }).to_string());
        }
        peer.say(&json!({ "return": {}, "id": id }).to_string());
    });
    let mut qmp = qmp.unwrap();
    qmp.execute("stop", json!({})).unwrap();
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
fn what_poll_does_not_see_is_said_to_be_there() {
    let (qmp, peer) = monitor(|peer| {
        let id = peer.hear()["id"].clone();
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
    qmp.execute("stop", json!({})).unwrap();
    peer.join().unwrap();
    for name in ["STOP", "RESUME"] {
        assert!(qmp.has_buffered(), "{name}");
        assert_eq!(qmp.next_event(Duration::ZERO).unwrap().unwrap().name, name);
    }
    assert!(!qmp.has_buffered());
}

#[test]
fn an_answer_may_come_in_pieces_and_two_in_one() {
    let (qmp, peer) = monitor(|peer| {
        let id = peer.hear()["id"].clone();
        let answer = json!({ "return": "x".repeat(100_000), "id": id }).to_string();
        for piece in answer.as_bytes().chunks(30_000) {
            peer.stream.write_all(piece).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        peer.say("\r\n\r\n{\"event\":\"STOP\"}\r\n{\"event\":\"RESUME\"}");
    });
    let mut qmp = qmp.unwrap();
    assert_eq!(
        qmp.execute("query-qmp-schema", json!({}))
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
fn an_emulator_that_ends_is_no_time_limit() {
    let (qmp, peer) = monitor(|peer| {
        peer.hear();
    });
    let error = qmp.unwrap().execute("quit", json!({})).unwrap_err();
    assert!(error.is_closed(), "{error}");
    peer.join().unwrap();
}

#[test]
fn what_is_no_monitor_is_told_from_one() {
    for (said, expected) in [
        ("{\"hello\":1}\n", "not a QMP monitor"),
        ("SSH-2.0\n", "malformed message"),
    ] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(said.as_bytes()).unwrap();
        let error = Qmp::connect(ours, LIMIT).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
