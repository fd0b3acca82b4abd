//! The VMM's process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::run::messages::Messages;

/// The VMM's process. A drop kills it.
#[derive(Debug)]
pub(crate) struct Vmm {
    child: Child,
    /// Descriptor that is readable once the process has ended.
    pidfd: OwnedFd,
    messages: Option<Messages>,
}

impl Vmm {
    /// Takes over a process that was just spawned.
    ///
    /// # Errors
    /// If no descriptor or thread can be made. This has killed the process then.
    pub(crate) fn new(mut child: Child) -> io::Result<Self> {
        match watch(&mut child) {
            Ok((pidfd, messages)) => Ok(Self {
                child,
                pidfd,
                messages,
            }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Logs the process's messages, the former ones now and the later ones when they come.
    pub(crate) fn log(&self) {
        if let Some(messages) = &self.messages {
            messages.log();
        }
    }

    /// Waits for the end of the process. Returns whether it has ended within the time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(status) => return status.is_some(),
                Err(_) => return true,
            }
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
        let status = self.child.wait();
        let messages = self.messages.as_ref().map(Messages::finish);
        (status, messages.unwrap_or_default())
    }
}

fn watch(child: &mut Child) -> io::Result<(OwnedFd, Option<Messages>)> {
    let pidfd = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let messages = child.stderr.take().map(Messages::collect).transpose()?;
    Ok((pidfd, messages))
}

impl AsFd for Vmm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        end(&mut self.child);
    }
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
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::test_threads::{forbid_threads, is_without_threads};

    #[test]
    fn vmm_is_ended_where_no_thread_can_be_made() {
        let mut command = Command::new("/bin/sleep");
        let child = command.arg("60").stderr(Stdio::piped()).spawn().unwrap();
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        if is_without_threads("run::vmm::tests::vmm_is_ended_where_no_thread_can_be_made") {
            forbid_threads();
            let error = Vmm::new(child).map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(!process.exists());
        } else {
            drop(Vmm::new(child).unwrap());
        }
    }
}
