//! `passthru console`: puts the console of a guest on this terminal.

use std::os::fd::AsFd;

use passthru_supervisor::control::{Client, Request};
use rustix::event::{PollFd, PollFlags, poll};

use super::refusal::client_error;
use super::request::connect;
use crate::commands::run::{Console, ConsoleInput, OutputBuffer};
use crate::error::Error;
use crate::exit::Code;
use crate::message::say;
use crate::signals::Signals;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the guest, as in its XML
    #[arg(value_name = "NAME")]
    name: String,
    /// Take the console from the terminal that has it
    #[arg(long)]
    force: bool,
}

/// Failure to use the terminal.
#[derive(Debug, thiserror::Error)]
#[error("cannot put the guest's console on this terminal")]
struct Unusable(#[source] std::io::Error);

/// Reason for which the console left this terminal.
enum Left {
    /// The user typed the escape key, or a signal came.
    Escape,
    /// The guest's end of the console is closed.
    Closed,
    /// The supervisor has ended, or gave the console to another terminal.
    Taken,
}

/// Moves bytes between the guest's console and the standard streams, until the escape key.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    // A signal must not leave the terminal in raw mode.
    let signals = Signals::catch()?;
    let mut client = connect(&args.name).map_err(client_error)?;
    let request = Request::Console { force: args.force };
    let mut answer = client.call(&request, &[]).map_err(client_error)?;
    let Some(terminal) = answer.fds.pop() else {
        return Err(Error::new(Code::Failure, "the supervisor sent no terminal"));
    };
    let console = Console::of_terminal(terminal, true)
        .map_err(|error| Error::new(Code::Failure, Unusable(error)))?;
    if console.on_terminal() {
        say!(
            "passthru: console of guest '{}'; Ctrl-] leaves it",
            args.name
        );
    }

    let left = stay(&client, console, &signals);
    match left {
        Left::Escape => say!(
            "\npassthru: left the console; guest '{}' runs on",
            args.name
        ),
        Left::Closed => say!("\npassthru: the guest's console is closed"),
        Left::Taken => say!("\npassthru: the supervisor has ended, or another terminal has it now"),
    }

    Ok(())
}

fn stay(client: &Client, mut console: Console, signals: &Signals) -> Left {
    let stdin = std::io::stdin();
    let stdout = std::io::stdout();
    let mut output = OutputBuffer::default();
    loop {
        let mut fds = vec![
            PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        let mut input = None;
        if console.wants_input() {
            input = Some(fds.len());
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        let mut can_write = None;
        if !output.has_room() {
            can_write = Some(fds.len());
            fds.push(PollFd::new(&stdout, PollFlags::OUT));
        }
        match console.pty(&output) {
            Some((pty, flags)) => fds.push(PollFd::from_borrowed_fd(pty, flags)),
            None if output.has_room() => return Left::Closed,
            None => {}
        }

        let polled = poll(&mut fds, None);
        if signals.taken() > 0 {
            return Left::Escape;
        }
        if polled.is_err() {
            continue;
        }
        let is_taken = is_ready(&fds, Some(0));
        let has_input = is_ready(&fds, input);
        if is_ready(&fds, can_write) {
            output.write_some();
        }
        if has_input && console.read_input() == ConsoleInput::Escape {
            return Left::Escape;
        }
        console.transfer(&mut output);
        if is_taken {
            output.finish();
            return Left::Taken;
        }
    }
}

fn is_ready(fds: &[PollFd<'_>], place: Option<usize>) -> bool {
    place
        .and_then(|place| fds.get(place))
        .is_some_and(|fd| !fd.revents().is_empty())
}
