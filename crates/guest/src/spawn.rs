//! Starts the VMM: as an unprivileged user, without capabilities, with the descriptors that it is
//! meant to have and no others.
#![allow(unsafe_code)]

use crate::user::User;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A process to start.
pub(crate) struct Process<'a> {
    pub(crate) program: &'a str,
    pub(crate) arguments: &'a [String],
    /// Environment variables, besides the usual ones.
    pub(crate) env: &'a [(String, String)],
    pub(crate) user: &'a User,
    /// `RLIMIT_MEMLOCK` in bytes.
    pub(crate) memlock: u64,
    /// Whether its standard output is of interest (a character device of type `stdio`).
    pub(crate) stdout: bool,
    /// The descriptors it gets, each with the number that it has there (3 and up).
    pub(crate) fds: Vec<(RawFd, OwnedFd)>,
}

impl Process<'_> {
    /// Starts it, with nothing on standard input, and its errors on a pipe. The descriptors are
    /// closed here, whether it succeeds or not.
    pub(crate) fn spawn(self) -> io::Result<Child> {
        let mut command = Command::new(self.program);
        command
            .args(self.arguments)
            .env_clear()
            .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C"), ("HOME", "/nonexistent")])
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(if self.stdout { Stdio::piped() } else { Stdio::null() })
            .stderr(Stdio::piped());
        confine(&mut command, self.user, Some(self.memlock));
        let highest = self.fds.iter().map(|(number, _)| *number).max().unwrap_or(0);
        // Registered after `confine`, which makes every descriptor close-on-exec: the ones that are mapped
        // now are exactly those that stay.
        let mappings = self.fds.into_iter().map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.collect()).map_err(io::Error::other)?;
        let plugs = plug(highest)?;
        let child = command.spawn();
        drop(plugs);
        child
    }
}

impl User {
    /// Spawns a command as the user, confined as a VMM is: for asking an emulator what it has. Without
    /// privileges it runs as the caller, who has none to lose.
    ///
    /// # Errors
    /// What the system answered.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        if nix::unistd::Uid::effective().is_root() {
            confine(command, self, None);
        }
        command.spawn()
    }
}

/// Makes the command's process give up all privileges, and every descriptor that is not its own.
fn confine(command: &mut Command, user: &User, memlock: Option<u64>) {
    let user = user.clone();
    let parent = rustix::process::getpid();
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe calls may
    // be made: it makes system calls alone, with values captured before the fork, and allocates nothing.
    unsafe { command.pre_exec(move || become_unprivileged(&user, memlock, parent)) };
}

/// Takes every free number up to `highest` until the process is spawned. The pipe by which a failed exec
/// is reported gets its number at that time; were it one that a descriptor is mapped to, the report would
/// be written into that file.
fn plug(highest: RawFd) -> io::Result<Vec<OwnedFd>> {
    let mut plugs = vec![OwnedFd::from(std::fs::File::open("/dev/null")?)];
    while plugs.last().is_some_and(|plug| plug.as_raw_fd() <= highest) {
        let next = plugs.last().map(OwnedFd::try_clone).transpose()?;
        plugs.extend(next);
    }
    Ok(plugs)
}

/// What happens in the child before the program runs. The order matters: limits and the bounding set
/// need privileges, which go with the user.
fn become_unprivileged(user: &User, memlock: Option<u64>, parent: rustix::process::Pid) -> io::Result<()> {
    // A session of its own: the terminal's Ctrl-C is for the manager, which ends the guest in order.
    rustix::process::setsid()?;
    if let Some(memlock) = memlock {
        limit(Resource::Memlock, memlock)?;
    }
    limit(Resource::Core, 0)?;
    for bit in 0..64 {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            // The kernel knows no such capability.
            Err(rustix::io::Errno::INVAL) => break,
            other => other?,
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    user.enter()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )?;
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // After the change of user, which clears it. The parent may be gone already.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    if rustix::process::getppid() != Some(parent) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    close_on_exec_from(3)
}

fn limit(resource: Resource, bytes: u64) -> io::Result<()> {
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(bytes), maximum: Some(bytes) })?)
}

/// Marks every descriptor from `first` up as close-on-exec, however it came to be open.
fn close_on_exec_from(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range takes numbers alone. With CLOSE_RANGE_CLOEXEC it closes nothing now.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
