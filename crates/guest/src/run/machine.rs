//! The VMM with its monitor: asked, waited for, and ended in order.

use crate::error::Error;
use crate::run::vmm::Vmm;
use passthru_qemu::monitor::{self, Command, Event, Qmp, Ticket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Time that a VMM has to end after `quit`, before it gets SIGTERM: only one that hangs needs more.
pub(crate) const QUIT_TIME: Duration = Duration::from_secs(10);
/// Time that a VMM has to end after SIGTERM, before it is killed: it writes out what it holds of
/// disks, and unpins the guest's memory.
pub(crate) const TERMINATE_TIME: Duration = Duration::from_secs(50);
/// How often a wait looks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(100);

/// A VMM with its monitor. Dropped after the guest was let go, the VMM is told to quit, waited for,
/// and killed only if it does not end; dropped before, it is killed.
#[derive(Debug)]
pub(crate) struct Machine {
    vmm: Vmm,
    monitor: Qmp,
    /// Whether the guest may have run, so that there may be data to write out.
    may_have_run: bool,
    /// Commands whose answer is of interest only if it is a refusal.
    asked: Vec<Ticket>,
    quit_time: Duration,
    terminate_time: Duration,
}

impl Machine {
    pub(crate) fn new(vmm: Vmm, monitor: Qmp) -> Self {
        let (quit_time, terminate_time) = (QUIT_TIME, TERMINATE_TIME);
        Self {
            vmm,
            monitor,
            may_have_run: false,
            asked: vec![],
            quit_time,
            terminate_time,
        }
    }

    pub(crate) fn vmm(&mut self) -> &mut Vmm {
        &mut self.vmm
    }

    pub(crate) fn pid(&self) -> u32 {
        self.vmm.pid()
    }

    pub(crate) fn monitor(&self) -> &Qmp {
        &self.monitor
    }

    /// Returns the ticket of the answer that says that the machine is set up.
    pub(crate) fn negotiation(&self) -> Ticket {
        self.monitor.negotiation()
    }

    /// Queues a command whose answer is taken by [`Machine::wait`].
    pub(crate) fn submit(&mut self, command: &Command) -> Result<Ticket, Error> {
        self.monitor.submit(command, vec![]).map_err(Error::Monitor)
    }

    /// Waits for an answer. `interrupted` is asked ten times a second.
    ///
    /// # Errors
    /// If the wait is interrupted, then [`Error::Interrupted`]; else what is wrong with the answer
    /// or the monitor, also where the VMM has ended.
    pub(crate) fn wait(
        &mut self,
        ticket: Ticket,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Value, Error> {
        loop {
            let advanced = self.monitor.advance();
            let fault = advanced.err().filter(|error| !error.is_closed());
            if let Some(error) = fault {
                return Err(Error::Monitor(error));
            }
            if let Some(answer) = self.monitor.take_answer(ticket) {
                return answer.map_err(Error::Monitor);
            }
            if interrupted() {
                return Err(Error::Interrupted);
            }
            self.poll(true, LOOK);
        }
    }

    /// Lets the guest go on.
    pub(crate) fn resume(&mut self, interrupted: &dyn Fn() -> bool) -> Result<(), Error> {
        self.vmm.log();
        self.may_have_run = true;
        let ticket = self.submit(&Command::Cont)?;
        self.wait(ticket, interrupted).map(drop)
    }

    /// Queues a command. A refusal is logged when it comes.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<(), Error> {
        let ticket = self.submit(command)?;
        self.asked.push(ticket);
        Ok(())
    }

    /// Sends and reads what goes at once, and logs what was refused.
    pub(crate) fn advance(&mut self) -> Result<(), monitor::Error> {
        let advanced = self.monitor.advance();
        let monitor = &mut self.monitor;
        self.asked
            .retain(|ticket| match monitor.take_answer(*ticket) {
                Some(Err(error)) if !error.is_closed() => {
                    tracing::warn!("{error}");
                    false
                }
                answer => answer.is_none(),
            });
        advanced
    }

    pub(crate) fn take_event(&mut self) -> Option<Event> {
        self.monitor.take_event()
    }

    /// Waits for the end of the VMM. Nothing is said to it any more.
    pub(crate) fn finish(&mut self) -> (std::io::Result<std::process::ExitStatus>, String) {
        self.vmm.wait()
    }

    /// Ends the VMM in order: `quit`, else SIGTERM, else SIGKILL.
    pub(crate) fn end(&mut self) {
        if self.ask(&Command::Quit).is_ok() && self.ends_within(self.quit_time) {
            return;
        }
        self.vmm.terminate();
        if !self.ends_within(self.terminate_time) {
            tracing::warn!("the VMM does not end: killing it");
            self.vmm.kill();
        }
    }

    /// Whether the VMM ends within so much time, while the monitor is heard.
    fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut is_open = true;
        while !self.vmm.ends_within(Duration::ZERO) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.poll(is_open, left.min(LOOK));
            is_open = is_open && self.advance().is_ok();
            while self.take_event().is_some() {}
        }
        true
    }

    /// Waits until the VMM ends, or its monitor has something to do.
    fn poll(&self, monitor: bool, patience: Duration) {
        let send = if self.monitor.wants_to_send() {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        let mut fds = vec![PollFd::new(&self.vmm, PollFlags::IN)];
        if monitor {
            fds.push(PollFd::new(&self.monitor, PollFlags::IN | send));
        }
        let is_ready = monitor && self.monitor.has_buffered();
        let nanoseconds = if is_ready {
            0
        } else {
            patience.min(LOOK).subsec_nanos()
        };
        // Where it fails, the caller looks by itself, as it does after the time.
        if poll(
            &mut fds,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: nanoseconds.into(),
            }),
        )
        .is_err()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl AsFd for Machine {
    /// Readable once the VMM has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.vmm.as_fd()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.may_have_run && !self.vmm.ends_within(Duration::ZERO) {
            self.end();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::{self, ChildStdin, Stdio};
    use tempfile::TempDir;

    /// A shell that notes in a file how it was ended: SIGTERM, or a line on its standard input.
    const POLITE: &str = "trap 'echo term >> \"$0\"; exit 0' TERM; echo ready >> \"$0\"
        while ! read -r line; do sleep 0.01; done; echo \"$line\" >> \"$0\"";
    const DEAF: &str = "trap '' TERM; echo ready >> \"$0\"; while :; do sleep 0.01; done";

    /// Answers all commands; `quit` is passed on to the process, where it may hear it.
    fn answer(
        stream: UnixStream,
        process: &mut ChildStdin,
        hears_quit: bool,
    ) -> std::io::Result<()> {
        let mut writer = stream.try_clone()?;
        writer.write_all(b"{\"QMP\":{}}\n")?;
        for line in BufReader::new(stream).lines() {
            let command: Value = serde_json::from_str(&line?)?;
            if command["execute"] != "quit" {
                writeln!(writer, "{}", json!({ "return": {}, "id": command["id"] }))?;
            } else if hears_quit {
                process.write_all(b"quit\n")?;
            }
        }
        Ok(())
    }

    /// A VMM that is a shell, with its guest let go; and the file of its notes.
    pub(crate) fn machine(script: &str, hears_quit: bool) -> (Machine, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = process::Command::new("/bin/sh");
        command
            .args(["-c", script])
            .arg(folder.path().join("notes"))
            .stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || answer(theirs, &mut stdin, hears_quit));
        let monitor = Qmp::new(ours, Duration::from_secs(30)).unwrap();
        let mut machine = Machine::new(Vmm::new(child).unwrap(), monitor);
        while notes(&folder).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        machine.wait(machine.negotiation(), &|| false).unwrap();
        machine.resume(&|| false).unwrap();
        (machine, folder)
    }

    fn notes(folder: &TempDir) -> String {
        fs::read_to_string(folder.path().join("notes")).unwrap_or_default()
    }

    #[test]
    fn dropped_machine_is_told_to_quit() {
        let (machine, folder) = machine(POLITE, true);
        drop(machine);
        assert_eq!(notes(&folder), "ready\nquit\n");
    }

    #[test]
    fn panic_ends_the_machine_in_order() {
        let (machine, folder) = machine(POLITE, true);
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _machine = machine;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        assert_eq!(notes(&folder), "ready\nquit\n");
    }

    #[test]
    fn machine_that_does_not_quit_gets_sigterm() {
        let (mut machine, folder) = machine(POLITE, false);
        machine.quit_time = Duration::from_millis(200);
        drop(machine);
        assert_eq!(notes(&folder), "ready\nterm\n");
    }

    #[test]
    fn machine_without_a_monitor_gets_sigterm_at_once() {
        let (mut machine, folder) = machine(POLITE, true);
        let (ours, theirs) = UnixStream::pair().unwrap();
        machine.monitor = Qmp::new(ours, Duration::from_secs(30)).unwrap();
        drop(theirs);
        machine.advance().unwrap_err();
        let begin = Instant::now();
        drop(machine);
        assert_eq!(notes(&folder), "ready\nterm\n");
        assert!(begin.elapsed() < QUIT_TIME, "{:?}", begin.elapsed());
    }

    #[test]
    fn machine_that_hears_nothing_is_killed_in_time() {
        let (mut machine, _folder) = machine(DEAF, false);
        machine.quit_time = Duration::from_millis(200);
        machine.terminate_time = Duration::from_millis(300);
        let begin = Instant::now();
        drop(machine);
        let took = begin.elapsed();
        assert!(
            (Duration::from_millis(500)..Duration::from_secs(10)).contains(&took),
            "{took:?}"
        );
    }

    #[test]
    fn machine_whose_guest_never_ran_is_killed() {
        let (mut machine, folder) = machine(POLITE, true);
        machine.may_have_run = false;
        drop(machine);
        assert_eq!(notes(&folder), "ready\n");
    }

    #[test]
    fn interruption_ends_the_wait_for_an_answer() {
        let (mut machine, _folder) = machine(POLITE, true);
        let ticket = machine.submit(&Command::Quit).unwrap();
        let begin = Instant::now();
        let interrupted = || begin.elapsed() > Duration::from_millis(50);
        machine.terminate_time = Duration::from_millis(100);
        // The answer to quit never comes.
        let waited = machine.wait(ticket, &interrupted);
        assert!(
            matches!(waited, Err(Error::Interrupted | Error::Monitor(_))),
            "{waited:?}"
        );
        assert!(
            begin.elapsed() < Duration::from_secs(2),
            "{:?}",
            begin.elapsed()
        );
    }
}
