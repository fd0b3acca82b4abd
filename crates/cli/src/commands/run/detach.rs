//! `passthru run --detach`: the guest goes on when this command ends.
//!
//! The command runs itself again, in a session of its own. That second process is the guest's
//! supervisor. It writes a line to its standard output, a pipe, once the guest runs. Then it leaves
//! the terminal.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use passthru_guest::EndingNotice;
use passthru_supervisor::Foreground;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::error::Error;
use crate::exit::Code;
use crate::message::{self, say};
use crate::output::print;
use crate::service;
use crate::signals::Signals;

/// Option that the supervisor gets in the place of `--detach`.
const DETACHED: &str = "--detached";

/// Failure to run this program again.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the guest's supervisor")]
struct Unstartable(#[source] io::Error);

/// Starts the supervisor of a new guest, and waits until the guest runs.
pub(super) fn run_detached() -> Result<ExitCode, Error> {
    match spawn_supervisor(supervisor_arguments(std::env::args_os().skip(1)))? {
        Ok(line) => print(&line).map(|()| ExitCode::SUCCESS),
        Err(code) => Ok(code),
    }
}

/// Starts a supervisor with these arguments, and waits until its guest runs. Returns the line that
/// it printed then, or its exit code if it ended before. A signal meanwhile ends the start.
pub(super) fn spawn_supervisor(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Result<String, ExitCode>, Error> {
    let signals = Signals::catch()?;
    let mut child = spawn(arguments).map_err(unstartable)?;
    let line = match child.stdout.take() {
        Some(stdout) => wait_for_line(stdout, &signals, &child),
        None => String::new(),
    };
    if line.is_empty() {
        // The supervisor has told the reason.
        let status = child.wait().map_err(unstartable)?;
        if status.code().is_none() {
            say!("passthru: the guest's supervisor ended with {status}");
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(Err(code.map_or(Code::Failure.into(), ExitCode::from)));
    }

    Ok(Ok(line))
}

fn unstartable(error: io::Error) -> Error {
    Error::new(Code::Failure, Unstartable(error))
}

/// Runs this program again.
fn spawn(arguments: impl IntoIterator<Item = OsString>) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
}

/// Returns the arguments of the supervisor: those of this process, with another option in the place
/// of `--detach`.
fn supervisor_arguments(own: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = Vec::new();
    let mut is_option = true;
    for argument in own {
        is_option &= argument != "--";
        if is_option && argument == "--detach" {
            arguments.push(DETACHED.into());
        } else {
            arguments.push(argument);
        }
    }

    arguments
}

/// Reads the line that the supervisor writes once the guest runs; nothing, if it ends before.
fn wait_for_line(mut pipe: ChildStdout, signals: &Signals, child: &Child) -> String {
    let mut line = Vec::new();
    let mut buffer = [0; 512];
    loop {
        let mut fds = [
            PollFd::new(&pipe, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        let polled = poll(&mut fds, None);
        let [from_pipe, _] = &fds;
        let is_ready = polled.is_ok() && !from_pipe.revents().is_empty();
        if signals.taken() > 0 {
            // The supervisor is in another session: the terminal's signals do not reach it.
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
        }
        if !is_ready {
            continue;
        }
        match pipe.read(&mut buffer) {
            Ok(count @ 1..) => line.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return String::from_utf8_lossy(&line).into_owned(),
        }
    }
}

/// Leaves the session of the terminal, so that its end does not reach this process.
pub(super) fn leave_session() -> Result<(), Error> {
    match rustix::process::setsid() {
        Ok(_) => Ok(()),
        Err(errno) => Err(unstartable(errno.into())),
    }
}

/// Says that the guest runs, and leaves the terminal. From now on, messages go to `log`.
pub(super) fn leave_terminal(line: &str, log: Option<File>) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    message::flush();
    let _ = print(line);
    let errors = match log {
        Some(log) => log,
        None => null.try_clone()?,
    };
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stderr(&errors)?;
    // Last, since the reader goes away then.
    Ok(rustix::stdio::dup2_stdout(&null)?)
}

/// The foreground of a supervisor without a terminal: signals alone.
pub(super) struct Detached<'a>(pub(super) &'a Signals);

impl Foreground for Detached<'_> {
    fn poll_entries(&self) -> Vec<(usize, BorrowedFd<'_>, PollFlags)> {
        vec![(0, self.0.as_fd(), PollFlags::IN)]
    }

    fn handle(&mut self, ready: &[usize]) -> bool {
        !ready.is_empty() && self.0.taken() > 0
    }

    fn tell(&mut self, notice: EndingNotice) {
        if let EndingNotice::PoweringOff(_) = notice {
            service::tell_stopping();
        }
    }

    fn has_console(&self) -> bool {
        false
    }

    fn leave_console(&mut self) {}

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supervisor_gets_the_arguments_of_the_command() {
        let own = ["run", "--detach", "--user", "vm", "--", "--detach"];
        let arguments = supervisor_arguments(own.into_iter().map(OsString::from));
        let expected = ["run", "--detached", "--user", "vm", "--", "--detach"];
        assert_eq!(arguments, expected.map(OsString::from));
    }
}
