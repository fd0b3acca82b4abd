//! A gate before the program of a new process: the journal names the process first.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};

/// Message by which the gate opens.
const OPEN: &[u8] = b"go";

/// Socket pair between this process and a child that waits before its program begins.
///
/// The child sends its number and waits for an answer. If this process ends or closes its socket,
/// the child ends too. So a program runs only after its process was named.
pub(super) struct Gate {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Gate {
    /// Makes a gate for the process of a command. Call it after everything else that the child does
    /// before its program.
    pub(super) fn new(command: &mut Command) -> io::Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let our_number = ours.as_raw_fd();
        let gate = theirs.try_clone()?;
        // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe
        // calls are permitted. It makes only system calls, and allocates nothing. It closes the
        // child's copy of `ours`, which nothing in the child uses.
        unsafe {
            command.pre_exec(move || {
                libc::close(our_number);
                pass(&gate)
            });
        }

        Ok(Self { ours, theirs })
    }

    /// Spawns the command's process, calls `name` with its number, and lets the program begin.
    pub(super) fn spawn(
        self,
        command: &mut Command,
        name: &mut (dyn FnMut(u32) -> io::Result<()> + Send),
    ) -> io::Result<Child> {
        let Self { ours, theirs } = self;
        thread::scope(|scope| {
            // `Command::spawn` returns once the program begins.
            let builder = thread::Builder::new().name("gate".into());
            let admitting = builder.spawn_scoped(scope, move || admit(&ours, name))?;
            let spawned = command.spawn();
            // A child that failed has sent no number: this ends the wait for it.
            let _ = rustix::net::shutdown(&theirs, rustix::net::Shutdown::Both);
            let reason = match admitting.join() {
                Ok(Admission::Refused(reason)) => reason,
                Ok(Admission::Admitted | Admission::Ended) => return spawned,
                Err(_) => io::Error::other("the thread that names the process ended"),
            };
            if let Ok(mut child) = spawned {
                child.kill().and_then(|()| child.wait())?;
            }
            Err(reason)
        })
    }
}

/// Result of the wait for a child at the gate.
enum Admission {
    /// The program may begin.
    Admitted,
    /// The child ended, and the spawn has its error.
    Ended,
    /// The process could not be named.
    Refused(io::Error),
}

/// Waits for the number of the child, names the process, and opens the gate.
fn admit(gate: &OwnedFd, name: &mut (dyn FnMut(u32) -> io::Result<()> + Send)) -> Admission {
    let mut number = [0; 4];
    let length = match retry_on_intr(|| recv(gate, &mut number, RecvFlags::empty())) {
        Ok((length, _)) => length,
        Err(errno) => return Admission::Refused(errno.into()),
    };
    if length != number.len() {
        return Admission::Ended;
    }

    let named = name(u32::from_ne_bytes(number));
    let opened = named.and_then(|()| {
        retry_on_intr(|| send(gate, OPEN, SendFlags::NOSIGNAL))?;
        Ok(())
    });
    match opened {
        Ok(()) => Admission::Admitted,
        Err(error) => Admission::Refused(error),
    }
}

/// Sends the number of this process, and waits for the gate to open.
fn pass(gate: &OwnedFd) -> io::Result<()> {
    let number = rustix::process::getpid().as_raw_nonzero().get();
    retry_on_intr(|| send(gate, &number.to_ne_bytes(), SendFlags::NOSIGNAL))?;
    let mut answer = [0; OPEN.len()];
    match retry_on_intr(|| recv(gate, &mut answer, RecvFlags::empty()))? {
        (length, _) if length == OPEN.len() => Ok(()),
        _ => Err(Errno::CANCELED.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spawn(
        program: &str,
        name: &mut (dyn FnMut(u32) -> io::Result<()> + Send),
    ) -> io::Result<Child> {
        let mut command = Command::new(program);
        Gate::new(&mut command)?.spawn(&mut command, name)
    }

    #[test]
    fn program_begins_once_its_process_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let mut command = Command::new("/bin/touch");
        command.arg(&mark);
        let gate = Gate::new(&mut command).unwrap();
        let mut named = None;
        let spawned = gate.spawn(&mut command, &mut |pid| {
            thread::sleep(Duration::from_millis(100));
            assert!(!mark.exists());
            named = Some(pid);
            Ok(())
        });
        let mut child = spawned.unwrap();
        child.wait().unwrap();

        assert_eq!(named, Some(child.id()));
        assert!(mark.exists());
    }

    #[test]
    fn process_that_cannot_be_named_never_runs() {
        let mut number = 0;
        let error = spawn("/bin/true", &mut |pid| {
            number = pid;
            Err(io::Error::other("no journal"))
        });
        assert_eq!(error.unwrap_err().to_string(), "no journal");
        assert!(!std::path::Path::new(&format!("/proc/{number}")).exists());
    }

    #[test]
    fn process_without_its_parents_gate_never_runs() {
        // What the child does at the gate of a parent that was killed.
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let waiting = thread::spawn(move || pass(&theirs));
        let mut number = [0; 4];
        recv(&ours, &mut number, RecvFlags::empty()).unwrap();
        drop(ours);
        let error = waiting.join().unwrap().unwrap_err();

        assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    }

    #[test]
    fn missing_program_is_reported() {
        let error = spawn("/nonexistent/program", &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
