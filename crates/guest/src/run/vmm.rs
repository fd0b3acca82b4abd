//! The VMM's process: waited for, signalled, and killed on drop.

use crate::run::messages::Messages;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

/// The VMM's process.
#[derive(Debug)]
pub(crate) struct Vmm {
    child: Child,
    /// Readable once the process has ended.
    pidfd: OwnedFd,
    messages: Option<Messages>,
}

impl Vmm {
    /// Takes a process over that was just spawned.
    ///
    /// # Errors
    /// If there is no room for a descriptor or a thread. The process has ended then.
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

    /// What it says is logged from now on.
    pub(crate) fn log(&self) {
        self.messages.iter().for_each(Messages::log);
    }

    /// Whether it ends within so much time.
    pub(crate) fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
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

    /// Waits for its end. Returns its status and what it said.
    pub(crate) fn wait(&mut self) -> (io::Result<ExitStatus>, String) {
        let status = self.child.wait();
        (
            status,
            self.messages
                .as_ref()
                .map(Messages::finish)
                .unwrap_or_default(),
        )
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

/// Kills a process unless it has ended, and waits for it: its descriptors are closed then.
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
    use super::*;
    use crate::test_threads::{forbid_threads, is_without_threads};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

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
