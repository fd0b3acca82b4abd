//! The monitor's client against a monitor that was taken over.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::File;
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use passthru_qemu::monitor::{Command, Error, MAX_MESSAGE, Qmp, Ticket};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

const GREETING: &str = "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n";
const READY: &str = "{\"return\":{},\"id\":1}\n";
const LONG: Duration = Duration::from_secs(60);

/// Returns a client past its negotiation, and the monitor's side.
fn connected(limit: Duration) -> (Qmp, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut qmp = Qmp::new(ours, limit).unwrap();
    theirs.write_all(GREETING.as_bytes()).unwrap();
    qmp.advance().unwrap();
    let sent = read_some(&theirs);
    assert_eq!(sent["execute"], "qmp_capabilities");
    assert_eq!(sent["id"], 1);
    theirs.write_all(READY.as_bytes()).unwrap();
    qmp.advance().unwrap();
    let negotiation = qmp.negotiation();
    qmp.take_answer(negotiation).unwrap().unwrap();
    (qmp, theirs)
}

/// Reads one command; null if none was sent.
fn read_some(mut stream: &UnixStream) -> Value {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4096];
    let read = stream.read(&mut bytes);
    stream.set_nonblocking(false).unwrap();
    match read {
        Ok(count) => serde_json::from_slice(&bytes[..count]).unwrap(),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Value::Null,
        Err(e) => panic!("{e}"),
    }
}

fn submit(qmp: &mut Qmp, command: &Command) -> Ticket {
    qmp.submit(command, vec![]).unwrap()
}

/// Lets the monitor send bytes until the client refuses them. Returns the error.
fn refuse(qmp: &mut Qmp, mut theirs: UnixStream, said: Vec<u8>) -> Error {
    let writer = std::thread::spawn(move || theirs.write_all(&said));
    let deadline = Instant::now() + LONG;
    let fault = loop {
        assert!(Instant::now() < deadline, "no fault");
        if let Err(error) = qmp.advance() {
            break error;
        }
    };
    drop(writer);
    fault
}

#[test]
fn calls_do_not_wait_for_a_monitor_that_is_stuck() {
    let (mut qmp, _theirs) = connected(Duration::from_millis(100));
    let begin = Instant::now();
    let ticket = qmp
        .submit(
            &Command::QomList {
                path: "x".repeat(900_000),
            },
            vec![],
        )
        .unwrap();
    for _ in 0..100 {
        qmp.advance().unwrap();
    }

    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );

    // On a busy machine, the time can be over already.
    if let Some(deadline) = qmp.deadline() {
        sleep(deadline.saturating_duration_since(Instant::now()));
    }
    qmp.advance().unwrap();
    assert!(
        matches!(qmp.take_answer(ticket), Some(Err(Error::Timeout { what })) if what == "qom-list")
    );
}

#[test]
fn late_answers_have_one_time_limit_together() {
    let limit = Duration::from_secs(1);
    let (mut qmp, mut theirs) = connected(limit);
    let tickets = [Command::QueryChardev, Command::QueryStatus, Command::Cont]
        .map(|command| submit(&mut qmp, &command));
    // The commands came one right after the other, and so their times end.
    let end = qmp.deadline().unwrap() + Duration::from_millis(200);
    for id in [2, 3] {
        sleep(Duration::from_millis(300));
        theirs
            .write_all(format!("{{\"return\":{{}},\"id\":{id}}}\n").as_bytes())
            .unwrap();
        qmp.advance().unwrap();
        assert!(qmp.deadline().unwrap() < end);
    }

    sleep(end.saturating_duration_since(Instant::now()));
    qmp.advance().unwrap();
    let answers = tickets.map(|ticket| qmp.take_answer(ticket).unwrap());

    assert!(
        matches!(answers, [Ok(_), Ok(_), Err(Error::Timeout { .. })]),
        "{answers:?}"
    );

    // A late answer is dropped, and the connection can be used again.
    theirs
        .write_all(b"{\"return\":\"late\",\"id\":4}\n")
        .unwrap();
    let next = submit(&mut qmp, &Command::Stop);
    qmp.advance().unwrap();
    theirs
        .write_all(b"{\"return\":\"in time\",\"id\":5}\n")
        .unwrap();
    qmp.advance().unwrap();
    assert_eq!(qmp.take_answer(next).unwrap().unwrap(), "in time");
    assert_eq!(qmp.deadline(), None);
}

#[test]
fn command_that_comes_later_has_a_time_of_its_own() {
    let limit = Duration::from_secs(1);
    let (mut qmp, mut theirs) = connected(limit);
    let mut last = None;
    // Each command is answered in time, and the next one is submitted before that.
    for id in 2..6 {
        let ticket = submit(&mut qmp, &Command::QueryStatus);
        qmp.advance().unwrap();
        sleep(Duration::from_millis(350));
        if let Some((id, ticket)) = last.replace((id, ticket)) {
            theirs
                .write_all(format!("{{\"return\":{{}},\"id\":{id}}}\n").as_bytes())
                .unwrap();
            qmp.advance().unwrap();
            assert!(qmp.take_answer(ticket).unwrap().is_ok(), "command {id}");
        }
    }
}

#[test]
fn commands_that_pin_memory_have_no_time_limit() {
    let pinning = [
        Command::DeviceAdd { device: json!({}) },
        Command::ObjectAdd { object: json!({}) },
    ];
    for command in pinning {
        let (mut qmp, mut theirs) = connected(Duration::ZERO);
        let slow = submit(&mut qmp, &command);
        let behind = submit(&mut qmp, &Command::Stop);
        let command = command.name();
        qmp.advance().unwrap();
        assert_eq!(qmp.deadline(), None, "{command}");
        assert!(qmp.take_answer(slow).is_none(), "{command}");
        theirs.write_all(b"{\"return\":{},\"id\":2}\n").unwrap();
        qmp.advance().unwrap();
        assert!(matches!(qmp.take_answer(slow), Some(Ok(_))), "{command}");
        assert!(
            matches!(qmp.take_answer(behind), Some(Err(Error::Timeout { .. }))),
            "{command}"
        );
    }
}

#[test]
fn descriptors_go_with_their_command_alone() {
    let (mut qmp, mut theirs) = connected(LONG);
    submit(&mut qmp, &Command::Stop);
    let fds = vec![OwnedFd::from(File::open("/dev/null").unwrap())];
    let getfd = Command::Getfd { fdname: "a".into() };
    qmp.submit(&getfd, fds).unwrap();
    submit(&mut qmp, &Command::Cont);
    qmp.advance().unwrap();

    assert_eq!(read_some(&theirs)["execute"], "stop");
    assert_eq!(
        read_some(&theirs),
        Value::Null,
        "sent before the answer to the command before"
    );

    theirs.write_all(b"{\"return\":{},\"id\":2}\n").unwrap();
    qmp.advance().unwrap();

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4096];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let count = recvmsg(&theirs, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        .unwrap()
        .bytes;
    let messages = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds.count()),
        _ => None,
    });
    assert_eq!(messages.collect::<Vec<_>>(), [1]);
    assert_eq!(
        serde_json::from_slice::<Value>(&bytes[..count]).unwrap()["execute"],
        "getfd"
    );
    assert_eq!(
        read_some(&theirs),
        Value::Null,
        "sent before the answer to getfd"
    );

    theirs.write_all(b"{\"return\":{},\"id\":3}\n").unwrap();
    qmp.advance().unwrap();
    assert_eq!(read_some(&theirs)["execute"], "cont");
}

#[test]
fn commands_without_an_answer_are_bounded() {
    let (mut qmp, _theirs) = connected(LONG);
    let taken = (0..1000)
        .take_while(|_| qmp.submit(&Command::Stop, vec![]).is_ok())
        .count();
    assert_eq!(taken, 64);

    let error = qmp.submit(&Command::Cont, vec![]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "QMP cont: too many commands are waiting for an answer"
    );
}

#[test]
fn message_over_one_mib_breaks_the_connection() {
    let (mut qmp, theirs) = connected(LONG);
    let ticket = submit(&mut qmp, &Command::Stop);
    let line = format!(
        "{{\"event\":\"X\",\"data\":\"{}",
        "x".repeat(4 * MAX_MESSAGE)
    );
    let fault = refuse(&mut qmp, theirs, line.into_bytes());

    assert!(
        matches!(fault, Error::TooLong { limit: MAX_MESSAGE }),
        "{fault}"
    );
    assert!(matches!(
        qmp.take_answer(ticket),
        Some(Err(Error::Closed { .. }))
    ));
    assert!(qmp.submit(&Command::Quit, vec![]).unwrap_err().is_closed());
    assert!(!qmp.has_buffered());
}

#[test]
fn message_of_many_values_breaks_the_connection() {
    let (mut qmp, theirs) = connected(LONG);
    let line = format!(
        "{{\"event\":\"X\",\"data\":[{}0]}}\n",
        "{\"\":0},".repeat(100_000)
    );
    let fault = refuse(&mut qmp, theirs, line.into_bytes());
    assert!(matches!(fault, Error::TooManyValues { .. }), "{fault}");
}

#[test]
fn garbage_is_shown_short_and_escaped() {
    let (mut qmp, theirs) = connected(LONG);
    let line = format!("\x1b]0;owned\x07\u{9b}2J{}\n", "y".repeat(500_000));
    let fault = refuse(&mut qmp, theirs, line.into_bytes()).to_string();
    assert!(fault.contains(r"\u{1b}]0;owned\u{7}\u{9b}2Jyyy"), "{fault}");
    assert!(
        fault.chars().count() < 300 && !fault.chars().any(char::is_control),
        "{fault}"
    );
}

#[test]
fn refusal_is_shown_short_and_escaped() {
    let (mut qmp, mut theirs) = connected(LONG);
    let ticket = submit(&mut qmp, &Command::Stop);
    qmp.advance().unwrap();
    let desc = format!("\u{1b}[2J{}", "z".repeat(100_000));
    let answer = json!({ "error": { "class": "\u{85}", "desc": desc }, "id": 2 });
    theirs.write_all(format!("{answer}\n").as_bytes()).unwrap();
    let error = loop {
        qmp.advance().unwrap();
        if let Some(answer) = qmp.take_answer(ticket) {
            break answer.unwrap_err().to_string();
        }
    };

    assert!(
        error.starts_with(r"QMP stop: \u{1b}[2Jzzz") && error.chars().count() < 300,
        "{error}"
    );
}

#[test]
fn answer_before_its_command_is_sent_is_dropped() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut qmp = Qmp::new(ours, LONG).unwrap();
    let ticket = submit(&mut qmp, &Command::QueryChardev);
    let answers = format!("{GREETING}{{\"return\":\"early\",\"id\":2}}\n");
    theirs.write_all(answers.as_bytes()).unwrap();
    qmp.advance().unwrap();

    assert!(qmp.take_answer(ticket).is_none());
}

#[test]
fn one_call_takes_a_bounded_part_of_a_flood() {
    let (mut qmp, mut theirs) = connected(LONG);
    let writer = std::thread::spawn(move || {
        let flood = "{\"event\":\"RTC_CHANGE\"}\n".repeat(1000);
        while theirs.write_all(flood.as_bytes()).is_ok() {}
    });
    let begin = Instant::now();
    for _ in 0..200 {
        qmp.advance().unwrap();
    }

    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );

    let kept = std::iter::from_fn(|| qmp.take_event()).count();
    assert!((64..=1024).contains(&kept), "{kept}");

    drop(qmp);
    writer.join().unwrap();
}
