//! A guest in the foreground: its console, its end, and the signals that ask for the end.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use passthru_guest::{Ending, EndingNotice, Guest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::console::{Console, ConsoleInput};
use super::output_buffer::OutputBuffer;
use crate::message::say;
use crate::signals::Signals;

/// Number of reads of output after the VMM has ended.
const LAST_READS: usize = 256;

struct Foreground<'a> {
    guest: &'a mut Guest,
    signals: &'a Signals,
    console: Option<Console>,
    stdout: Option<ChildStdout>,
    output: OutputBuffer,
    monitor_open: bool,
    ending: Ending,
}

/// Stays with the guest until its VMM has ended. The first signal asks the guest to power off. A
/// second one, or the end of `stop_timeout`, tells the VMM to quit. [`Ending`] has the later
/// stages.
pub(super) fn stay(
    guest: &mut Guest,
    signals: &Signals,
    console: Option<Console>,
    stop_timeout: Duration,
) {
    let stdout = guest
        .take_stdout()
        .filter(|stdout| rustix::io::ioctl_fionbio(stdout, true).is_ok());
    let mut foreground = Foreground {
        guest,
        signals,
        console,
        stdout,
        output: OutputBuffer::default(),
        monitor_open: true,
        ending: Ending::new(stop_timeout),
    };
    loop {
        let ready = foreground.wait();
        foreground.handle(&ready);
        if ready.ended {
            break;
        }
    }

    foreground.show_last_output();
}

/// Events that a wait found.
#[derive(Default)]
struct Ready {
    /// The VMM has ended.
    ended: bool,
    signal: bool,
    monitor: bool,
    stdout: bool,
    stdin: bool,
    /// Standard output of this program accepts bytes.
    output: bool,
}

/// Descriptors to wait for, and their places in the result.
#[derive(Default)]
struct PollSet<'fd> {
    fds: Vec<PollFd<'fd>>,
}

impl<'fd> PollSet<'fd> {
    /// Adds a descriptor and returns its place.
    fn add(&mut self, fd: BorrowedFd<'fd>, events: PollFlags) -> usize {
        self.fds.push(PollFd::from_borrowed_fd(fd, events));
        self.fds.len() - 1
    }

    /// Returns whether the descriptor at a place has an event.
    fn is_ready(&self, place: Option<usize>) -> bool {
        place
            .and_then(|place| self.fds.get(place))
            .is_some_and(|fd| !fd.revents().is_empty())
    }
}

impl Foreground<'_> {
    /// Deals with events: moves output and input, and takes requests to end the guest.
    fn handle(&mut self, ready: &Ready) {
        if ready.output {
            self.output.write_some();
        }
        let mut is_asked = ready.signal && self.signals.taken() > 0;
        if let Some(console) = &mut self.console {
            is_asked |= ready.stdin && console.read_input() == ConsoleInput::Escape;
            if self.output.has_room() {
                console.transfer(&mut self.output);
            }
        }

        if ready.stdout {
            self.read_stdout();
        }
        if ready.monitor {
            match self.guest.handle_events(&mut |_| {}) {
                Ok(false) => {}
                Ok(true) => self.ending.note_quit(),
                Err(error) => {
                    self.monitor_open = false;
                    self.ending.lose_monitor(self.guest, &error);
                }
            }
        }

        if is_asked || self.ending.is_due() {
            self.advance();
        }
    }

    fn advance(&mut self) {
        match self.ending.advance(self.guest) {
            Some(EndingNotice::PoweringOff(time)) => {
                let seconds = time.as_secs();
                say!(
                    "passthru: asked the guest to power off; repeat to end it at once, or wait \
                     {seconds} s"
                );
            }
            Some(EndingNotice::Waiting) => {
                say!("passthru: waiting for the VMM to write out its data");
            }
            None => {}
        }
    }

    fn wait(&self) -> Ready {
        let stdin = std::io::stdin();
        let stdout = std::io::stdout();
        let mut set = PollSet::default();
        let vmm = set.add(self.guest.as_fd(), PollFlags::IN);
        let signals = set.add(self.signals.as_fd(), PollFlags::IN);
        let mut monitor = None;
        if self.monitor_open {
            let mut events = PollFlags::IN;
            if self.guest.wants_to_send() {
                events |= PollFlags::OUT;
            }
            monitor = Some(set.add(self.guest.monitor_fd(), events));
        }

        let mut vmm_output = None;
        if let Some(stdout) = self.stdout.as_ref().filter(|_| self.output.has_room()) {
            vmm_output = Some(set.add(stdout.as_fd(), PollFlags::IN));
        }
        if let Some(console) = &self.console
            && let Some((pty, events)) = console.pty(&self.output)
        {
            set.add(pty, events);
        }

        let mut input = None;
        if self.console.as_ref().is_some_and(Console::wants_input) {
            input = Some(set.add(stdin.as_fd(), PollFlags::IN));
        }
        let mut output = None;
        if !self.output.has_room() {
            output = Some(set.add(stdout.as_fd(), PollFlags::OUT));
        }
        if poll(&mut set.fds, self.timeout().as_ref()).is_err() {
            // EINTR: the signal is on its pipe.
            return Ready {
                signal: true,
                ..Ready::default()
            };
        }

        Ready {
            ended: set.is_ready(Some(vmm)),
            signal: set.is_ready(Some(signals)),
            monitor: self.monitor_open && (set.is_ready(monitor) || self.has_monitor_work()),
            stdout: set.is_ready(vmm_output),
            stdin: set.is_ready(input),
            output: set.is_ready(output),
        }
    }

    /// Returns whether the monitor needs a call although its descriptor has no event.
    fn has_monitor_work(&self) -> bool {
        let is_late = self
            .guest
            .deadline()
            .is_some_and(|deadline| Instant::now() >= deadline);
        self.guest.has_events() || is_late
    }

    /// Returns the time to wait: none if there is an event that poll cannot see.
    fn timeout(&self) -> Option<Timespec> {
        if self.monitor_open && self.guest.has_events() {
            return Some(Timespec::default());
        }
        let answer = self.guest.deadline().filter(|_| self.monitor_open);
        let next = self.ending.deadline().into_iter().chain(answer).min()?;
        Some(timespec(next.saturating_duration_since(Instant::now())))
    }

    fn read_stdout(&mut self) {
        let mut buffer = [0; 4096];
        match self.stdout.as_mut().map(|out| out.read(&mut buffer)) {
            Some(Ok(n)) if n > 0 => self.output.push(buffer.get(..n).unwrap_or_default()),
            _ => self.stdout = None,
        }
    }

    /// Shows what the guest and the VMM wrote last.
    fn show_last_output(&mut self) {
        for _ in 0..LAST_READS {
            let has_more = self
                .console
                .as_mut()
                .is_some_and(|console| console.transfer(&mut self.output));
            if self.stdout.is_some() {
                self.read_stdout();
            }
            if !has_more && self.stdout.is_none() {
                break;
            }
        }

        self.output.finish();
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
