//! The terminal of a user whose guest runs in the foreground: its console, its output, and the
//! signals that ask for the end.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ChildStdout;

use passthru_guest::{EndingNotice, Guest};
use passthru_supervisor::Foreground;
use rustix::event::PollFlags;

use super::console::{Console, ConsoleInput};
use super::output_buffer::OutputBuffer;
use crate::message::say;
use crate::service;
use crate::signals::Signals;

/// Number of reads of output after the VMM has ended.
const LAST_READS: usize = 256;
/// Numbers of the descriptors to wait for.
const SIGNALS: usize = 0;
const STDIN: usize = 1;
const STDOUT: usize = 2;
const VMM_OUTPUT: usize = 3;
const CONSOLE: usize = 4;

/// The terminal of a user, with the guest's console if that is not kept off.
pub(super) struct Terminal<'a> {
    signals: &'a Signals,
    console: Option<Console>,
    /// Standard output of the VMM, if a character device of the guest leads to it.
    vmm_output: Option<ChildStdout>,
    output: OutputBuffer,
    stdin: std::io::Stdin,
    stdout: std::io::Stdout,
}

impl<'a> Terminal<'a> {
    /// Makes the terminal of a guest.
    pub(super) fn new(guest: &mut Guest, signals: &'a Signals, console: Option<Console>) -> Self {
        let vmm_output = guest
            .take_stdout()
            .filter(|stdout| rustix::io::ioctl_fionbio(stdout, true).is_ok());
        Self {
            signals,
            console,
            vmm_output,
            output: OutputBuffer::default(),
            stdin: std::io::stdin(),
            stdout: std::io::stdout(),
        }
    }

    fn read_vmm_output(&mut self) {
        let mut buffer = [0; 4096];
        match self.vmm_output.as_mut().map(|out| out.read(&mut buffer)) {
            Some(Ok(n)) if n > 0 => self.output.push(buffer.get(..n).unwrap_or_default()),
            _ => self.vmm_output = None,
        }
    }
}

impl Foreground for Terminal<'_> {
    fn poll_entries(&self) -> Vec<(usize, BorrowedFd<'_>, PollFlags)> {
        let mut entries = vec![(SIGNALS, self.signals.as_fd(), PollFlags::IN)];
        if let Some(stdout) = self.vmm_output.as_ref().filter(|_| self.output.has_room()) {
            entries.push((VMM_OUTPUT, stdout.as_fd(), PollFlags::IN));
        }
        if let Some(console) = &self.console
            && let Some((pty, events)) = console.pty(&self.output)
        {
            entries.push((CONSOLE, pty, events));
        }

        if self.console.as_ref().is_some_and(Console::wants_input) {
            entries.push((STDIN, self.stdin.as_fd(), PollFlags::IN));
        }
        if !self.output.has_room() {
            entries.push((STDOUT, self.stdout.as_fd(), PollFlags::OUT));
        }
        entries
    }

    fn handle(&mut self, ready: &[usize]) -> bool {
        if ready.contains(&STDOUT) {
            self.output.write_some();
        }
        let mut is_asked = ready.contains(&SIGNALS) && self.signals.taken() > 0;
        if let Some(console) = &mut self.console {
            is_asked |= ready.contains(&STDIN) && console.read_input() == ConsoleInput::Escape;
            console.transfer(&mut self.output);
        }

        if ready.contains(&VMM_OUTPUT) {
            self.read_vmm_output();
        }
        is_asked
    }

    fn tell(&mut self, notice: EndingNotice) {
        match notice {
            EndingNotice::PoweringOff(time) => {
                service::tell_stopping();
                let seconds = time.as_secs();
                say!(
                    "passthru: asked the guest to power off; repeat to end it at once, or wait \
                     {seconds} s"
                );
            }
            EndingNotice::Waiting => {
                say!("passthru: waiting for the VMM to write out its data");
            }
        }
    }

    fn has_console(&self) -> bool {
        self.console.is_some()
    }

    fn leave_console(&mut self) {
        if self.console.take().is_some() {
            say!("passthru: another terminal has taken the guest's console");
        }
    }

    fn finish(&mut self) {
        for _ in 0..LAST_READS {
            let has_more = self
                .console
                .as_mut()
                .is_some_and(|console| console.transfer(&mut self.output));
            if self.vmm_output.is_some() {
                self.read_vmm_output();
            }
            if !has_more && self.vmm_output.is_none() {
                break;
            }
        }

        self.output.finish();
    }
}
