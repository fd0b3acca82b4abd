//! The VMM's process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::run::exit_status::exit_status;
use crate::vmm_log::VmmLog;

/// Longest time of one wait for the process.
const INTERVAL: Duration = Duration::from_secs(1);

/// The VMM's process. A drop kills it, unless the process is left to a successor.
#[derive(Debug)]
pub(crate) struct Vmm {
    process: Process,
    /// Descriptor that is readable once the process has ended.
    pidfd: OwnedFd,
    log: Option<VmmLog>,
    is_left: bool,
}

/// The relation of this process to the VMM's process.
#[derive(Debug)]
enum Process {
    Child(Child),
    /// A former manager spawned the process, which has this number.
    Adopted(u32),
}

impl Vmm {
    /// Takes over a process that was just spawned, whose standard error is the log.
    ///
    /// # Errors
    /// If no descriptor can be made. This has killed the process then.
    pub(crate) fn new(mut child: Child, mut log: Option<VmmLog>) -> io::Result<Self> {
        match rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(pidfd) => {
                if let Some(log) = &mut log {
                    log.note(&format!("the VMM begins as process {}", child.id()));
                }
                Ok(Self {
                    process: Process::Child(child),
                    pidfd,
                    log,
                    is_left: false,
                })
            }
            Err(errno) => {
                end(&mut child);
                Err(errno.into())
            }
        }
    }

    /// Watches a process that a former manager spawned. A drop leaves the process alone, until
    /// [`Vmm::set_left`].
    pub(crate) fn adopted(pid: u32, pidfd: OwnedFd, log: Option<VmmLog>) -> Self {
        Self {
            process: Process::Adopted(pid),
            pidfd,
            log,
            is_left: true,
        }
    }

    /// Sets whether a drop leaves the process to a successor.
    pub(crate) fn set_left(&mut self, is_left: bool) {
        self.is_left = is_left;
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.process {
            Process::Child(child) => child.id(),
            Process::Adopted(pid) => *pid,
        }
    }

    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        match &mut self.process {
            Process::Child(child) => child.stdout.take(),
            Process::Adopted(_) => None,
        }
    }

    pub(crate) fn log(&self) -> Option<&VmmLog> {
        self.log.as_ref()
    }

    pub(crate) fn log_mut(&mut self) -> Option<&mut VmmLog> {
        self.log.as_mut()
    }

    /// Waits for the end of the process or for an event of `other`, at most for `time`. Takes the
    /// messages that the process writes meanwhile. May return early.
    pub(crate) fn poll(&mut self, other: Option<PollFd<'_>>, time: Duration) {
        let log = self.log.as_ref();
        let deadline = log.and_then(VmmLog::deadline);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let time = left.unwrap_or(time).min(time).min(INTERVAL);
        let mut fds = Vec::from_iter(log.and_then(VmmLog::poll_fd).map(watched));
        let is_watched = !fds.is_empty();
        fds.push(watched(self.pidfd.as_fd()));
        fds.extend(other);
        let timeout = Timespec {
            tv_sec: i64::from(time == INTERVAL),
            tv_nsec: time.subsec_nanos().into(),
        };
        // If poll fails, the caller checks everything itself, as after a timeout.
        let is_polled = poll(&mut fds, Some(&timeout)).is_ok();
        let has_messages = is_watched && fds.first().is_some_and(|fd| !fd.revents().is_empty());
        if !is_polled {
            std::thread::sleep(Duration::from_millis(1));
        }

        let is_due = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if let Some(log) = self.log.as_mut().filter(|_| has_messages || is_due) {
            log.ready();
        }
    }

    /// Waits for the end of the process. Returns whether it has ended within the time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            if self.has_ended() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.poll(None, left);
        }
    }

    fn has_ended(&mut self) -> bool {
        match &mut self.process {
            Process::Child(child) => !matches!(child.try_wait(), Ok(None)),
            Process::Adopted(_) => is_readable(&self.pidfd),
        }
    }

    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends SIGTERM, which a VMM takes as `quit`.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        if let Err(e) = rustix::process::pidfd_send_signal(&self.pidfd, signal) {
            tracing::debug!("cannot signal the VMM: {e}");
        }
    }

    /// Waits until the process has ended. Returns its exit status and its last messages.
    pub(crate) fn wait(&mut self) -> (io::Result<ExitStatus>, String) {
        while !self.ends_within(INTERVAL) {}
        let status = match &mut self.process {
            Process::Child(child) => child.wait(),
            Process::Adopted(_) => exit_status(&self.pidfd),
        };
        let Some(log) = &mut self.log else {
            return (status, String::new());
        };
        log.finish();
        if let Ok(status) = &status {
            log.note(&format!("the VMM has ended: {status}"));
        }
        (status, log.messages())
    }
}

fn watched(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

impl AsFd for Vmm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        match &mut self.process {
            Process::Child(child) => end(child),
            Process::Adopted(_) => {
                self.kill();
                while !self.ends_within(INTERVAL) {}
            }
        }
    }
}

/// Returns whether a process has ended, by its descriptor.
fn is_readable(pidfd: &OwnedFd) -> bool {
    let mut fds = [watched(pidfd.as_fd())];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Kills a process unless it has ended, and waits for its end. Its descriptors are closed then.
fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    if let Err(e) = child.kill().and_then(|()| child.wait()) {
        tracing::error!("cannot end the VMM: {e}");
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn messages_are_taken_while_the_end_is_awaited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm.log");
        let mut log = VmmLog::create(folder.path(), &path).unwrap();
        let stderr = Stdio::from(log.open_writer().unwrap());
        // A FIFO holds less than this.
        let script = "i=0; while [ $i -lt 30 ]; do head -c 4000 /dev/zero | tr '\\0' x >&2; \
                      echo >&2; sleep 0.02; i=$((i+1)); done; echo last >&2; exit 3";
        let mut command = Command::new("sh");
        let child = command.args(["-c", script]).stderr(stderr).spawn().unwrap();
        drop(command);
        let mut vmm = Vmm::new(child, Some(log)).unwrap();
        let (status, messages) = vmm.wait();

        assert_eq!(status.unwrap().code(), Some(3));
        assert!(messages.ends_with("\nlast\n"), "{messages}");

        let text = std::fs::read_to_string(path).unwrap();
        let long = text.matches(&"x".repeat(1000)).count();
        assert!(long >= 30 * 3, "{long}");
        assert!(text.ends_with("passthru: the VMM has ended: exit status: 3\n"));
    }
}
