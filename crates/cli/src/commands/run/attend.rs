//! A guest from the moment that it runs to the moment that its devices are given back.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::time::Duration;

use passthru_guest::{Ended, Guest};
use passthru_host::{Host, make_own_folder};
use passthru_supervisor::control::Access;
use passthru_supervisor::{Settings, Supervisor};
use rustix::fs::OFlags;

use super::args::{Args, STOP_SECONDS};
use super::console::Console;
use super::detach::{Detached, leave_terminal};
use super::foreground::Terminal;
use crate::commands::control::guest_message;
use crate::error::Error;
use crate::exit::Code;
use crate::folder::{log_dir, supervisor_log};
use crate::message::say;
use crate::service;
use crate::signals::Signals;

/// Relation of a supervisor to the user's terminal.
pub(super) struct Manner {
    /// Whether it leaves the terminal.
    is_detached: bool,
    /// Whether the guest's console comes to the terminal.
    shows_console: bool,
    /// Whether Ctrl-C goes to the guest's console.
    is_raw: bool,
    /// Time that the guest has to power off when it is asked to.
    stop_time: Duration,
}

impl Manner {
    /// Returns the manner that the arguments of `run` ask for.
    pub(super) fn of_run(args: &Args) -> Self {
        Self {
            is_detached: args.detached,
            shows_console: !args.no_console && !args.detached,
            is_raw: args.raw_console,
            stop_time: Duration::from_secs(args.stop_timeout),
        }
    }

    /// Returns the manner of a supervisor that adopts a guest by its name.
    pub(super) fn of_supervisor(is_detached: bool) -> Self {
        Self {
            is_detached,
            shows_console: false,
            is_raw: false,
            stop_time: Duration::from_secs(STOP_SECONDS),
        }
    }
}

/// Lets the guest run, and stays until it has ended. Returns the exit code of the command.
pub(super) fn attend(
    manner: &Manner,
    mut guest: Guest,
    host: &Host,
    signals: &Signals,
    access: Access,
) -> Result<ExitCode, Error> {
    let console = connect(manner, &guest);
    if let Err(error) = guest.resume(&|| signals.taken() > 0) {
        drop(console);
        say!("passthru: {error}; ending the VMM");
        let ended = guest.end();
        report(&ended);
        return if ended.not_restored.is_empty() {
            Err(error.into())
        } else {
            Ok(Code::NotRestored.into())
        };
    }

    attend_running(manner, guest, host, signals, access, console)
}

/// Stays with a guest that runs until it has ended. Returns the exit code of the command.
pub(super) fn attend_running(
    manner: &Manner,
    mut guest: Guest,
    host: &Host,
    signals: &Signals,
    access: Access,
    console: Option<Console>,
) -> Result<ExitCode, Error> {
    service::tell_ready(guest.name());
    if console.as_ref().is_some_and(Console::on_terminal) {
        let keys = if manner.is_raw {
            "Ctrl-] ends the guest"
        } else {
            "Ctrl-C or Ctrl-] ends the guest"
        };
        say!(
            "passthru: guest '{}' runs, its console is on this terminal; {keys}",
            guest.name()
        );
    }

    let settings = Settings {
        access,
        stop_time: manner.stop_time,
        explain: guest_message,
    };
    let ended = if manner.is_detached {
        detach(&guest);
        guest.hide_messages();
        Supervisor::new(guest, host, settings).run(&mut Detached(signals))
    } else {
        let mut terminal = Terminal::new(&mut guest, signals, console);
        Supervisor::new(guest, host, settings).run(&mut terminal)
    };
    result(&ended)
}

/// Leaves the terminal of the command that started this supervisor.
fn detach(guest: &Guest) {
    let name = guest.name();
    let line = format!("guest '{name}' runs: process {}\n", guest.pid());
    let log = match open_log(name) {
        Ok(log) => Some(log),
        Err(error) => {
            tracing::warn!("messages of the supervisor of guest '{name}' are lost: {error}");
            None
        }
    };
    if let Err(error) = leave_terminal(&line, log) {
        tracing::warn!("cannot leave the terminal: {error}");
    }
}

/// Opens the log of a detached supervisor, which is emptied at each start.
fn open_log(guest: &str) -> io::Result<File> {
    let folder = log_dir();
    make_own_folder(&folder, 0o700)?;
    let path = supervisor_log(guest);
    if let Some(folder) = path.parent() {
        make_own_folder(folder, 0o700)?;
    }
    File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .and_then(|log| log.set_len(0).map(|()| log))
}

/// Connects the guest's console, unless it is kept off the terminal.
pub(super) fn connect(manner: &Manner, guest: &Guest) -> Option<Console> {
    let path = guest.console().filter(|_| manner.shows_console)?;
    match Console::connect(path, guest.uid(), manner.is_raw) {
        Ok(console) => Some(console),
        Err(e) => {
            tracing::warn!("cannot show the guest's console {}: {e}", path.display());
            None
        }
    }
}

/// Prints an error for each device that could not be given back.
fn report(ended: &Ended) {
    for error in Error::not_restored(&ended.not_restored) {
        error.print();
    }
}

/// Returns the exit code: 0 for a guest that ended well, also if it was asked to end.
fn result(ended: &Ended) -> Result<ExitCode, Error> {
    report(ended);
    match (ended.status, ended.not_restored.is_empty()) {
        (_, false) => Ok(Code::NotRestored.into()),
        (Some(status), true) if !status.success() => {
            let error = format!("the VMM ended with {status}");
            let last_message = ended
                .messages
                .lines()
                .last()
                .map(|line| format!("its last message: {line}"));
            Err(Error::new(Code::Guest, error).hint(ended.hint.clone().or(last_message)))
        }
        (None, true) => {
            // A kernel before 6.15 tells it to the process that started the VMM alone.
            tracing::warn!("cannot determine how the VMM ended");
            Ok(ExitCode::SUCCESS)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
