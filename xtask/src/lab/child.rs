//! Long-running programs of a setup, which end with this program. Their output is logged and
//! watched.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write, pipe};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Number of lines shown of a failed program's output.
const SHOWN: usize = 20;

/// Returns a command that is killed when this program ends, however it ends.
pub(super) fn dying_with_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Returns a command in mount and pid namespaces of its own. Its mounts and processes end with it.
pub(super) fn contained() -> Command {
    let mut command = dying_with_us("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child=SIGKILL"]);
    command
}

/// Runs a command without input, appends its output to `log`, and passes each line to `watch`.
///
/// # Errors
/// If the command fails, with the last lines of its output.
pub(super) fn watched(
    command: &mut Command,
    log: &Path,
    mut watch: impl FnMut(&str),
) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let shown = format!("{program} {}", arguments.join(" "));
    let mut log_file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("{}", log.display()))?;
    let (reader, writer) = pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn().with_context(|| shown.clone())?;
    command.stdout(Stdio::null()).stderr(Stdio::null()); // our ends of the pipe close
    let mut last = VecDeque::with_capacity(SHOWN);
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(log_file, "{line}")?;
        watch(&line);
        last.truncate(SHOWN - 1);
        last.push_front(line);
    }

    let status = child.wait()?;
    if !status.success() {
        let lines: Vec<_> = last.into_iter().rev().collect();
        bail!(
            "{shown}: {status}; its output is in {}, and ended with:\n{}",
            log.display(),
            lines.join("\n")
        );
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_outputs_are_watched_and_logged() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2"]);
        watched(&mut command, &log, |line| seen.push(line.to_owned())).unwrap();

        assert_eq!(seen, ["one", "two"]);
        assert_eq!(std::fs::read_to_string(log).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn failure_shows_the_end_of_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "seq 100; exit 2"]);
        let error = watched(&mut command, &folder.path().join("log"), |_| ())
            .unwrap_err()
            .to_string();

        assert!(
            error.contains("exit status: 2") && error.ends_with("\n99\n100"),
            "{error}"
        );
        assert!(!error.contains("\n80\n"), "{error}");
    }
}
