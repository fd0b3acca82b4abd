//! A hostile VMM can neither exhaust the host's memory nor keep `passthru` from ending.

use std::io::{PipeReader, Read};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use passthru_lab::host;

use super::fake::{Fake, Manager};

/// Limit on the peak memory of `passthru`.
const MEMORY_LIMIT: u64 = 64 << 20;
/// Limit on the time from a signal to the message about it.
const REACTION_LIMIT: Duration = Duration::from_secs(2);
/// Duration of an attack before the signal.
const ATTACK_TIME: Duration = Duration::from_secs(2);

/// Reads a pipe on a thread of its own. Sends each piece of text with the time of its arrival.
fn read_on_thread(mut pipe: PipeReader) -> Receiver<(Instant, String)> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 20];
        while let Ok(count @ 1..) = pipe.read(&mut bytes) {
            let _ = sender.send((
                Instant::now(),
                String::from_utf8_lossy(&bytes[..count]).into_owned(),
            ));
        }
    });
    receiver
}

/// Starts a guest whose VMM attacks after `note`, and sends SIGTERM to `passthru` meanwhile.
///
/// The message about the signal must contain one of `words`. Then kills the VMM if it still runs.
/// Returns all messages of `passthru`, and its exit code.
#[track_caller]
fn attack(mode: &str, note: &str, words: &[&str]) -> (String, Option<i32>) {
    let fake = Fake::new("hostile", mode);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut manager = Manager::start(fake.command().stdout(Stdio::null()).stderr(writer));
    let printed = read_on_thread(reader);
    fake.wait_for_note(note);
    sleep(ATTACK_TIME);
    let peak = manager.peak();
    let sent = Instant::now();
    manager.signal("-TERM");
    let mut text = String::new();
    let reaction = loop {
        match printed.recv_timeout(Duration::from_secs(10)) {
            Ok((at, more)) => {
                text.push_str(&more);
                let is_reaction = words.iter().any(|word| text.contains(word));
                if at >= sent && is_reaction {
                    break at - sent;
                }
            }
            Err(error) => {
                panic!(
                    "{mode}: {error}: no reaction to SIGTERM after {:?}: {text:.2000}",
                    sent.elapsed()
                )
            }
        }
    };
    assert!(
        reaction < REACTION_LIMIT,
        "{mode}: reaction after {reaction:?}"
    );
    let peak = peak.max(manager.peak());
    assert!(peak < MEMORY_LIMIT, "{mode}: {} MiB", peak >> 20);
    manager.kill_vmm();
    let code = manager.wait();
    text.extend(printed.iter().map(|(_, more)| more));
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{mode}: control characters: {text:.2000}"
    );
    assert!(!fake.folder().exists(), "{mode}");
    (text, code)
}

const ASKED: &str = "asked the guest to power off";
const ENDING: &str = "waiting for the VMM to write out its data";

#[test]
fn endless_message_is_refused() {
    let _ = host();
    for mode in ["long event", "long values"] {
        let (text, code) = attack(mode, "cont", &[ENDING]);
        assert!(
            text.contains("a message is longer than 1048576 bytes; ending the guest"),
            "{mode}: {text}"
        );
        assert_eq!(code, Some(6), "{mode}");
    }
}

#[test]
fn message_of_many_values_takes_bounded_memory() {
    let _ = host();
    attack("many values", "cont", &[ASKED]);
}

#[test]
fn garbage_is_printed_shortened() {
    let _ = host();
    let (text, code) = attack("garbage", "cont", &[ENDING]);
    assert!(text.len() < 2000, "{} bytes", text.len());
    assert_eq!(code, Some(6));
}

#[test]
fn flood_of_messages_does_not_delay_signals() {
    let _ = host();
    let floods = [
        ("endless answers", ASKED),
        ("endless resets", ENDING),
        ("deep", ASKED),
        ("words", ASKED),
    ];
    for (mode, word) in floods {
        let (_, code) = attack(mode, "cont", &[word]);
        assert_eq!(code, Some(6), "{mode}");
    }
}

#[test]
fn silent_or_late_vmm_does_not_delay_signals() {
    let _ = host();
    for mode in ["silent", "late at system_powerdown"] {
        let (_, code) = attack(mode, "cont", &[ASKED]);
        assert_eq!(code, Some(6), "{mode}");
    }
}

#[test]
fn signal_interrupts_start_despite_attack() {
    let _ = host();
    for command in ["qmp_capabilities", "cont"] {
        for kind in ["silent", "late", "endless"] {
            let mode = format!("{kind} at {command}");
            let (_, code) = attack(&mode, command, &["interrupted before the guest ran"]);
            assert_eq!(code, Some(130), "{mode}");
        }
    }
}
