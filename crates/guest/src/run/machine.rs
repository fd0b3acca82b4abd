//! A VMM with its monitor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use passthru_qemu::monitor::{self, Command, Event, Qmp, Ticket};
use rustix::event::{PollFd, PollFlags};
use serde_json::Value;

use crate::error::Error;
use crate::run::vmm::Vmm;
use crate::vmm_log::VmmLog;

/// Time for a VMM to end after `quit`, before it gets SIGTERM. Only a VMM that hangs needs longer.
pub(crate) const QUIT_TIME: Duration = Duration::from_secs(10);
/// Time for a VMM to end after SIGTERM, before it is killed. The VMM writes data of disks to the
/// images, and unpins the guest's memory.
pub(crate) const TERMINATE_TIME: Duration = Duration::from_secs(50);
/// Interval in which a wait checks whether it is interrupted.
const INTERVAL: Duration = Duration::from_millis(100);

/// A VMM with its monitor. A drop kills the VMM if its guest never ran. Otherwise it tells the VMM
/// to quit, waits, and kills only a VMM that does not end.
#[derive(Debug)]
pub(crate) struct Machine {
    vmm: Vmm,
    monitor: Qmp,
    /// Whether the guest may have run: the VMM may have data to write to images.
    may_have_run: bool,
    /// Commands of which only a refusal is logged.
    unanswered: Vec<Ticket>,
    quit_time: Duration,
    terminate_time: Duration,
}

impl Machine {
    pub(crate) fn new(vmm: Vmm, monitor: Qmp) -> Self {
        Self {
            vmm,
            monitor,
            may_have_run: false,
            unanswered: vec![],
            quit_time: QUIT_TIME,
            terminate_time: TERMINATE_TIME,
        }
    }

    pub(crate) fn vmm(&mut self) -> &mut Vmm {
        &mut self.vmm
    }

    /// Takes charge of a VMM whose guest runs: from now on, a drop ends it.
    pub(crate) fn take_charge(&mut self) {
        self.may_have_run = true;
        self.vmm.set_left(false);
        if let Some(log) = self.vmm.log_mut() {
            log.note(&format!("process {} takes charge", std::process::id()));
            log.show();
        }
    }

    /// Leaves the VMM to a successor: a drop does not end it any more.
    pub(crate) fn leave(&mut self) {
        self.may_have_run = false;
        self.vmm.set_left(true);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.vmm.pid()
    }

    pub(crate) fn monitor(&self) -> &Qmp {
        &self.monitor
    }

    pub(crate) fn log(&self) -> Option<&VmmLog> {
        self.vmm.log()
    }

    /// Returns the ticket of the answer that comes once the VMM has set the machine up.
    pub(crate) fn negotiation(&self) -> Ticket {
        self.monitor.negotiation()
    }

    /// Queues a command. [`Machine::wait`] returns its answer.
    pub(crate) fn submit(&mut self, command: &Command) -> Result<Ticket, Error> {
        self.monitor.submit(command, vec![]).map_err(Error::Monitor)
    }

    /// Queues a command with descriptors.
    pub(crate) fn submit_with_fds(
        &mut self,
        command: &Command,
        fds: Vec<OwnedFd>,
    ) -> Result<Ticket, Error> {
        self.monitor.submit(command, fds).map_err(Error::Monitor)
    }

    /// Takes the answer to a command, if it has come.
    pub(crate) fn take_answer(&mut self, ticket: Ticket) -> Option<Result<Value, monitor::Error>> {
        self.monitor.take_answer(ticket)
    }

    /// Drops the answer to a command, now or when it comes.
    pub(crate) fn forget_answer(&mut self, ticket: Ticket) {
        self.monitor.forget(ticket);
    }

    /// Waits for an answer. Calls `interrupted` ten times a second.
    ///
    /// # Errors
    /// - If `interrupted` returns true, then [`Error::Interrupted`].
    /// - If the VMM refuses the command, or has ended, then [`Error::Monitor`].
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
            self.poll(true, INTERVAL);
        }
    }

    /// Lets the guest run. From now on, messages of the VMM are logged.
    pub(crate) fn resume(&mut self, interrupted: &dyn Fn() -> bool) -> Result<(), Error> {
        if let Some(log) = self.vmm.log_mut() {
            log.show();
        }
        self.may_have_run = true;
        let ticket = self.submit(&Command::Cont)?;
        self.wait(ticket, interrupted).map(drop)
    }

    /// Queues a command, and logs a refusal when it comes.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<(), Error> {
        let ticket = self.submit(command)?;
        self.unanswered.push(ticket);
        Ok(())
    }

    /// Sends and reads without waiting, and logs refusals of commands.
    pub(crate) fn advance(&mut self) -> Result<(), monitor::Error> {
        let advanced = self.monitor.advance();
        let monitor = &mut self.monitor;
        self.unanswered
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

    /// Waits until the VMM has ended. Returns its exit status and messages.
    pub(crate) fn finish(&mut self) -> (std::io::Result<std::process::ExitStatus>, String) {
        self.vmm.wait()
    }

    /// Ends the VMM by `quit`, then SIGTERM, then SIGKILL.
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

    /// Waits for the end of the VMM, and reads its monitor meanwhile. Returns whether the VMM has
    /// ended within the time.
    fn ends_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut is_open = true;
        while !self.vmm.ends_within(Duration::ZERO) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.poll(is_open, left.min(INTERVAL));
            is_open = is_open && self.advance().is_ok();
            while self.take_event().is_some() {}
        }

        true
    }

    /// Waits until the VMM ends or, if `monitor` is set, the monitor has an event. Takes the VMM's
    /// messages meanwhile.
    fn poll(&mut self, monitor: bool, time: Duration) {
        let mut events = PollFlags::IN;
        if self.monitor.wants_to_send() {
            events |= PollFlags::OUT;
        }
        let is_ready = monitor && self.monitor.has_buffered();
        let time = if is_ready { Duration::ZERO } else { time };
        let watched = monitor.then(|| PollFd::new(&self.monitor, events));
        self.vmm.poll(watched, time.min(INTERVAL));
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
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::{self, ChildStdin, Stdio};

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    /// Script that ends at SIGTERM or a line on its standard input, and notes which.
    const POLITE: &str = "trap 'echo term >> \"$0\"; exit 0' TERM; echo ready >> \"$0\"
        while ! read -r line; do sleep 0.01; done; echo \"$line\" >> \"$0\"";
    /// Script that ends only at SIGKILL.
    pub(crate) const DEAF: &str =
        "trap '' TERM; echo ready >> \"$0\"; while :; do sleep 0.01; done";

    /// Answers all commands but `quit`. Passes `quit` on to the process if `hears_quit` is set.
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

    /// Returns a machine whose VMM is a shell and whose guest runs, and the folder of its notes.
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
        let mut machine = Machine::new(Vmm::new(child, None).unwrap(), monitor);
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
    fn deaf_machine_is_killed_in_time() {
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
        machine.terminate_time = Duration::from_millis(100);
        // The answer to quit never comes.
        let waited = machine.wait(ticket, &|| begin.elapsed() > Duration::from_millis(50));

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
