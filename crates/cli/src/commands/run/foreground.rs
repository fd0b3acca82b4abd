//! A guest in the foreground: its console, its end, and the signals that ask for the end.
#![allow(clippy::print_stderr)]

use super::console::{self, Console, Typed};
use super::signals::Signals;
use passthru_guest::Guest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Read;
use std::os::fd::AsFd;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

/// How long a VMM may take to end once it was told to.
const QUIT: Duration = Duration::from_secs(5);

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    /// The guest was asked to power off.
    PoweringOff,
    /// The VMM was told to quit.
    Quitting,
    /// It was killed.
    Killed,
}

struct Foreground<'a> {
    guest: &'a mut Guest,
    signals: &'a Signals,
    console: Option<Console>,
    stdout: Option<ChildStdout>,
    monitor_open: bool,
    stage: Stage,
    deadline: Option<Instant>,
    stop_timeout: Duration,
}

/// Stays with the guest until its VMM has ended. A first signal asks the guest to power off, a second one
/// or `stop_timeout` ends the VMM, and a VMM that does not end is killed.
pub(super) fn stay(guest: &mut Guest, signals: &Signals, console: Option<Console>, stop_timeout: Duration) {
    let stdout = guest.take_stdout();
    let mut foreground = Foreground {
        guest,
        signals,
        console,
        stdout,
        monitor_open: true,
        stage: Stage::Running,
        deadline: None,
        stop_timeout,
    };
    while !foreground.turn() {}
    // What the guest wrote last.
    foreground.console.iter_mut().for_each(Console::transfer);
}

/// What there is to do after waiting.
#[derive(Default)]
struct Ready {
    ended: bool,
    signal: bool,
    monitor: bool,
    stdout: bool,
    stdin: bool,
}

impl Foreground<'_> {
    /// Waits for something and deals with it. Returns whether the VMM has ended.
    fn turn(&mut self) -> bool {
        let ready = self.wait();
        if let Some(console) = &mut self.console {
            let typed = if ready.stdin { console.read_input() } else { Typed::Input };
            console.transfer();
            if typed == Typed::Escape {
                self.advance();
            }
        }
        if ready.stdout {
            self.forward_stdout();
        }
        if ready.monitor && self.guest.handle_events().is_err() {
            self.lose_monitor();
        }
        if ready.signal && self.signals.taken() > 0 {
            self.advance();
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.advance();
        }
        ready.ended
    }

    fn wait(&self) -> Ready {
        let mut fds = vec![PollFd::new(&self.guest, PollFlags::IN), PollFd::new(self.signals, PollFlags::IN)];
        let mut add = |fd| {
            fds.push(fd);
            fds.len() - 1
        };
        let stdin = std::io::stdin();
        let monitor =
            self.monitor_open.then(|| add(PollFd::from_borrowed_fd(self.guest.monitor_fd(), PollFlags::IN)));
        let stdout = self.stdout.as_ref().map(|fd| add(PollFd::new(fd, PollFlags::IN)));
        if let Some((pty, events)) = self.console.as_ref().and_then(Console::pty) {
            add(PollFd::from_borrowed_fd(pty, events));
        }
        let wants_input = self.console.as_ref().is_some_and(Console::wants_input);
        let stdin = wants_input.then(|| add(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)));
        let timeout =
            self.deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // EINTR: the signal is on its pipe.
            return Ready { signal: true, ..Ready::default() };
        }
        let is = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ready {
            ended: is(0),
            signal: is(1),
            monitor: monitor.is_some_and(is),
            stdout: stdout.is_some_and(is),
            stdin: stdin.is_some_and(is),
        }
    }

    /// Goes one stage further towards the end.
    fn advance(&mut self) {
        let (stage, patience) = match self.stage {
            Stage::Running if self.guest.power_down().is_ok() => {
                let seconds = self.stop_timeout.as_secs();
                eprintln!(
                    "passthru: asked the guest to power off; again to end it at once, or wait {seconds} s"
                );
                (Stage::PoweringOff, self.stop_timeout)
            }
            Stage::Running | Stage::PoweringOff if self.guest.quit().is_ok() => (Stage::Quitting, QUIT),
            _ => {
                self.guest.kill();
                (Stage::Killed, QUIT)
            }
        };
        self.stage = stage;
        self.deadline = Some(Instant::now() + patience);
    }

    /// The monitor has gone or says nonsense: the VMM is ending, or there is nobody left to ask politely.
    fn lose_monitor(&mut self) {
        self.monitor_open = false;
        if self.stage < Stage::Quitting {
            self.stage = Stage::Quitting;
            self.deadline = Some(Instant::now() + QUIT);
        }
    }

    fn forward_stdout(&mut self) {
        let mut buffer = [0; 4096];
        match self.stdout.as_mut().map(|out| out.read(&mut buffer)) {
            Some(Ok(n)) if n > 0 => console::show(buffer.get(..n).unwrap_or_default()),
            _ => self.stdout = None,
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    let seconds = duration.as_secs().try_into().unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: duration.subsec_nanos().into() }
}
