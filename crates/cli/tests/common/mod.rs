//! Runs of the command on a domain.

use std::fs;
use std::process::{Command, Output};

/// Runs a command on a file `NAME.xml` with this text, in a folder of its own.
pub(crate) fn run_on(name: &str, xml: &str, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name).with_extension("xml");
    fs::write(&file, xml).unwrap();
    Command::new(env!("CARGO_BIN_EXE_passthru"))
        .args(words)
        .arg(&file)
        .output()
        .unwrap()
}

/// Returns the exit code, and all that a command prints on both outputs.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn printed(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code(), text)
}
