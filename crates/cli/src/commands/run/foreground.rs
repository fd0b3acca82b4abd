//! A guest in the foreground: its console, its end, and the signals that ask for the end.

use super::console::{Console, Typed};
use super::screen::Screen;
use super::signals::Signals;
use crate::message::say;
use passthru_guest::Guest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Read;
use std::os::fd::AsFd;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

/// How long a VMM may take to end once it was told to: it writes out what it holds of disks, and unpins
/// the guest's memory.
const QUIT: Duration = Duration::from_secs(60);
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

/// Stays with the guest until its VMM has ended. A first signal asks the guest to power off, a second one
/// or `stop_timeout` tells the VMM to quit, and one that does not end then is killed.
pub(super) fn stay(guest: &mut Guest, signals: &Signals, console: Option<Console>, stop_timeout: Duration) {
    let mut foreground = Foreground {
        stdout: guest.take_stdout().filter(|out| rustix::io::ioctl_fionbio(out, true).is_ok()),
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
                Ok(true) => self.enter(Stage::Quitting, QUIT),
                Err(_) => self.lose_monitor(),
            }
        }
        if ends || self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
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
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        let (in_events, out_events) = (PollFlags::IN, PollFlags::OUT);
        let monitor =
            self.monitor_open.then(|| add(PollFd::from_borrowed_fd(self.guest.monitor_fd(), in_events)));
        let of_vmm =
            self.stdout.as_ref().filter(|_| self.screen.has_room()).map(|fd| add(PollFd::new(fd, in_events)));
        if let Some((pty, events)) = self.console.as_ref().and_then(|console| console.pty(&self.screen)) {
            add(PollFd::from_borrowed_fd(pty, events));
        }
        let wants_input = self.console.as_ref().is_some_and(Console::wants_input);
        let input = wants_input.then(|| add(PollFd::from_borrowed_fd(stdin.as_fd(), in_events)));
        let screen =
            (!self.screen.has_room()).then(|| add(PollFd::from_borrowed_fd(stdout.as_fd(), out_events)));
        if poll(&mut fds, self.timeout().as_ref()).is_err() {
            // EINTR: the signal is on its pipe.
            return Ready { signal: true, ..Ready::default() };
        }
        let is = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ready {
            ended: is(0),
            signal: is(1),
            monitor: self.monitor_open && (self.guest.has_events() || monitor.is_some_and(is)),
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
        self.deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())))
    }

    /// Goes one stage further towards the end.
    fn advance(&mut self) {
        match self.stage {
            Stage::Running if self.guest.power_down().is_ok() => {
                let seconds = self.stop_timeout.as_secs();
                say!("passthru: asked the guest to power off; repeat to end it at once, or wait {seconds} s");
                self.enter(Stage::PoweringOff, self.stop_timeout);
            }
            Stage::Running | Stage::PoweringOff => {
                if let Err(e) = self.guest.quit() {
                    tracing::debug!("quit: {e}");
                }
                self.enter(Stage::Quitting, QUIT);
            }
            // It may be writing out the guest's data: only time ends that.
            Stage::Quitting | Stage::Killed
                if self.deadline.is_some_and(|deadline| Instant::now() < deadline) =>
            {
                say!("passthru: waiting for the VMM to write out its data");
            }
            Stage::Quitting | Stage::Killed => {
                tracing::warn!("the VMM does not end: killing it");
                self.guest.kill();
                self.enter(Stage::Killed, QUIT);
            }
        }
    }

    fn enter(&mut self, stage: Stage, patience: Duration) {
        self.stage = stage;
        self.deadline = Some(Instant::now() + patience);
    }

    /// The monitor has gone or says nonsense: the VMM is ending, or there is nobody left to ask politely.
    fn lose_monitor(&mut self) {
        self.monitor_open = false;
        if self.stage < Stage::Quitting {
            self.enter(Stage::Quitting, QUIT);
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
            let more = self.console.as_mut().is_some_and(|console| console.transfer(&mut self.screen));
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

fn timespec(duration: Duration) -> Timespec {
    let seconds = duration.as_secs().try_into().unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: duration.subsec_nanos().into() }
}
