//! The guest's console on a terminal.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use passthru_lab::devices::NVME;
use passthru_lab::host;

use super::support::{Domain, PATIENCE, assert_all_back};

const TALK: &str = "echo ready; read line; echo got:$line; while true; do sleep 1; done";

/// Waits for a line that contains `what`. Earlier output is dropped.
pub(super) fn wait_for(output: &mut impl BufRead, what: &str) {
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).unwrap() > 0 {
        if String::from_utf8_lossy(&line).contains(what) {
            return;
        }
        line.clear();
    }

    panic!("the terminal ended before '{what}'");
}

fn exit_code(mut terminal: Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = terminal.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }

    let _ = terminal.kill();
    panic!("the terminal does not end");
}

#[test]
fn typed_line_reaches_the_guest_and_ctrl_c_ends_it() {
    let _ = host();
    let xml = Domain::new("typed")
        .hostdev(NVME, "<driver iommufd='yes'/>", "")
        .script(TALK)
        .write();
    let line = format!(
        "trap : INT; stty -g >/tmp/mode.before; passthru run --stop-timeout 1 {}; code=$?; \
         stty -g >/tmp/mode.after; exit $code",
        xml.display()
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut terminal = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    let mut output = BufReader::new(terminal.stdout.take().unwrap());
    wait_for(&mut output, "ready");
    keys.write_all(b"hello\r").unwrap();
    wait_for(&mut output, "got:hello");
    keys.write_all(&[3]).unwrap();
    wait_for(&mut output, "asked the guest to power off");

    assert_eq!(exit_code(terminal), Some(0));

    let before = std::fs::read_to_string("/tmp/mode.before").unwrap();
    let after = std::fs::read_to_string("/tmp/mode.after").unwrap();
    assert_eq!(before, after);

    assert_all_back("typed", &[(NVME, "nvme")]);
}
