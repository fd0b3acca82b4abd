//! Names of descriptors on the command line, and in `LISTEN_FDNAMES`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::{Command, Output};

/// Runs `run --dry-run` on a file without a domain, with these arguments.
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_passthru"));
    command.args(["run", "--dry-run"]).args(arguments);
    command.arg("/dev/null").output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn name_of_two_descriptors_is_refused() {
    let twice = run(&["--fd", "gpu=7", "--fd", "nic=8", "--fd", "gpu=9"]);
    assert_eq!(twice.status.code(), Some(2));

    let message = stderr(&twice);
    let expected = "two descriptors have the name 'gpu': 7 and 9";
    assert!(message.contains(expected), "{message}");

    // The file has no domain: the names are accepted.
    let same = run(&["--fd", "gpu=7", "--fd", "gpu=7", "--fd", "nic=7"]);
    assert_eq!(same.status.code(), Some(3), "{}", stderr(&same));
}

#[test]
fn name_of_a_service_manager_is_compared_with_fd() {
    let script = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=gpu:nic \
                  exec \"$0\" run --dry-run --fd nic=9 /dev/null";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_passthru")]);
    let output = shell.output().unwrap();

    assert_eq!(output.status.code(), Some(2));

    let message = stderr(&output);
    assert!(message.contains("the name 'nic': 4 and 9"), "{message}");
}

#[test]
fn name_may_hold_an_equals_sign() {
    for argument in ["a=b=7", "first card=7"] {
        assert_eq!(run(&["--fd", argument]).status.code(), Some(3));
    }
    for argument in ["=7", "gpu", "gpu=", "gpu=-1", "gpu=x"] {
        assert_eq!(
            run(&["--fd", argument]).status.code(),
            Some(2),
            "{argument}"
        );
    }
}
