//! A guest in the foreground: its console, its end, and the signals that ask for the end.

use super::console::{Console, Typed};
use super::screen::Screen;
use crate::message::say;
use crate::signals::Signals;
use passthru_guest::{Error as GuestError, Guest, QUIT_TIME, TERMINATE_TIME};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Read;
use std::os::fd::AsFd;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

/// Pieces of output that are read after the VMM has ended.
const LAST_PIECES: usize = 256;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    /// The guest was asked to power off.
    PoweringOff,
    /// The VMM was told to quit.
    Quitting,
    /// It got SIGTERM, to the same effect.
    Terminating,
    /// It was killed.
    Killed,
}

struct Foreground<'a> {
    guest: &'a mut Guest,
    signals: &'a Signals,
    console: Option<Console>,
    stdout: Option<ChildStdout>,
    screen: Screen,
    monitor_open: bool,
    stage: Stage,
    deadline: Option<Instant>,
    stop_timeout: Duration,
}

/// Stays with the guest until its VMM has ended. A first signal asks the guest to power off, a
/// second one or `stop_timeout` tells the VMM to quit. One that does not end then gets SIGTERM, and
/// is killed in the end.
pub(super) fn stay(
    guest: &mut Guest,
    signals: &Signals,
    console: Option<Console>,
    stop_timeout: Duration,
) {
    let mut foreground = Foreground {
        stdout: guest
            .take_stdout()
            .filter(|out| rustix::io::ioctl_fionbio(out, true).is_ok()),
        guest,
        signals,
        console,
        screen: Screen::default(),
        monitor_open: true,
        stage: Stage::Running,
        deadline: None,
        stop_timeout,
    };
    while !foreground.turn() {}
    foreground.last_words();
}

/// What there is to do after waiting.
#[derive(Default)]
struct Ready {
    ended: bool,
    signal: bool,
    monitor: bool,
    stdout: bool,
    stdin: bool,
    screen: bool,
}

impl Foreground<'_> {
    /// Waits for something and deals with it. Returns whether the VMM has ended.
    fn turn(&mut self) -> bool {
        let ready = self.wait();
        if ready.screen {
            self.screen.write_some();
        }
        let mut ends = ready.signal && self.signals.taken() > 0;
        if let Some(console) = &mut self.console {
            ends |= ready.stdin && console.read_input() == Typed::Escape;
            if self.screen.has_room() {
                console.transfer(&mut self.screen);
            }
        }
        if ready.stdout {
            self.read_stdout();
        }
        if ready.monitor {
            match self.guest.handle_events() {
                Ok(false) => {}
                Ok(true) => self.enter(Stage::Quitting, QUIT_TIME),
                Err(error) => self.lose_monitor(&error),
            }
        }
        if ends || is_over(self.deadline) {
            self.advance();
        }
        ready.ended
    }

    fn wait(&self) -> Ready {
        let mut fds = vec![
            PollFd::new(&self.guest, PollFlags::IN),
            PollFd::new(self.signals, PollFlags::IN),
        ];
        let mut add = |fd| {
            fds.push(fd);
            fds.len() - 1
        };
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        let (in_events, out_events) = (PollFlags::IN, PollFlags::OUT);
        let of_monitor = if self.guest.wants_to_send() {
            in_events | out_events
        } else {
            in_events
        };
        let monitor = self.monitor_open.then(|| {
            add(PollFd::from_borrowed_fd(
                self.guest.monitor_fd(),
                of_monitor,
            ))
        });
        let of_vmm = self
            .stdout
            .as_ref()
            .filter(|_| self.screen.has_room())
            .map(|fd| add(PollFd::new(fd, in_events)));
        if let Some((pty, events)) = self
            .console
            .as_ref()
            .and_then(|console| console.pty(&self.screen))
        {
            add(PollFd::from_borrowed_fd(pty, events));
        }
        let wants_input = self.console.as_ref().is_some_and(Console::wants_input);
        let input = wants_input.then(|| add(PollFd::from_borrowed_fd(stdin.as_fd(), in_events)));
        let screen = (!self.screen.has_room())
            .then(|| add(PollFd::from_borrowed_fd(stdout.as_fd(), out_events)));
        if poll(&mut fds, self.timeout().as_ref()).is_err() {
            // EINTR: the signal is on its pipe.
            return Ready {
                signal: true,
                ..Ready::default()
            };
        }
        let is = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ready {
            ended: is(0),
            signal: is(1),
            monitor: self.monitor_open
                && (self.guest.has_events()
                    || monitor.is_some_and(is)
                    || is_over(self.guest.deadline())),
            stdout: of_vmm.is_some_and(is),
            stdin: input.is_some_and(is),
            screen: screen.is_some_and(is),
        }
    }

    /// No time at all where something is there that poll cannot see.
    fn timeout(&self) -> Option<Timespec> {
        if self.monitor_open && self.guest.has_events() {
            return Some(Timespec::default());
        }
        let answer = self.guest.deadline().filter(|_| self.monitor_open);
        let next = self.deadline.into_iter().chain(answer).min()?;
        Some(timespec(next.saturating_duration_since(Instant::now())))
    }

    /// Goes one stage further towards the end.
    fn advance(&mut self) {
        match self.stage {
            Stage::Running if self.guest.power_down().is_ok() => {
                let seconds = self.stop_timeout.as_secs();
                say!(
                    "passthru: asked the guest to power off; repeat to end it at once, or wait {seconds} s"
                );
                self.enter(Stage::PoweringOff, self.stop_timeout);
            }
            Stage::Running | Stage::PoweringOff => {
                if self.guest.quit().is_err() {
                    self.terminate();
                } else {
                    self.enter(Stage::Quitting, QUIT_TIME);
                }
            }
            // It may be writing out the guest's data: only time ends that.
            Stage::Quitting | Stage::Terminating | Stage::Killed if !is_over(self.deadline) => {
                say!("passthru: waiting for the VMM to write out its data");
            }
            Stage::Quitting => self.terminate(),
            Stage::Terminating | Stage::Killed => {
                tracing::warn!("the VMM does not end: killing it");
                self.guest.kill();
                self.enter(Stage::Killed, TERMINATE_TIME);
            }
        }
    }

    fn enter(&mut self, stage: Stage, patience: Duration) {
        self.stage = stage;
        self.deadline = Some(Instant::now() + patience);
    }

    fn terminate(&mut self) {
        self.guest.terminate();
        self.enter(Stage::Terminating, TERMINATE_TIME);
    }

    /// Does without the monitor. One that was closed is that of a VMM that ends; a VMM whose
    /// monitor cannot be used is told to end.
    fn lose_monitor(&mut self, error: &GuestError) {
        self.monitor_open = false;
        let is_closed = matches!(error, GuestError::Monitor(cause) if cause.is_closed());
        if !is_closed {
            let cause = std::error::Error::source(error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            tracing::warn!("{error}{cause}; ending the guest");
            self.terminate();
        } else if self.stage < Stage::Quitting {
            self.enter(Stage::Quitting, QUIT_TIME);
        }
    }

    fn read_stdout(&mut self) {
        let mut buffer = [0; 4096];
        match self.stdout.as_mut().map(|out| out.read(&mut buffer)) {
            Some(Ok(n)) if n > 0 => self.screen.push(buffer.get(..n).unwrap_or_default()),
            _ => self.stdout = None,
        }
    }

    /// Shows what the guest and the VMM wrote last.
    fn last_words(&mut self) {
        for _ in 0..LAST_PIECES {
            let more = self
                .console
                .as_mut()
                .is_some_and(|console| console.transfer(&mut self.screen));
            if self.stdout.is_some() {
                self.read_stdout();
            }
            if !more && self.stdout.is_none() {
                break;
            }
        }
        self.screen.finish();
    }
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

fn timespec(duration: Duration) -> Timespec {
    let seconds = duration.as_secs().try_into().unwrap_or(i64::MAX);
    Timespec {
        tv_sec: seconds,
        tv_nsec: duration.subsec_nanos().into(),
    }
}
