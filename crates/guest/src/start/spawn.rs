//! Starts the VMM: as an unprivileged user, without capabilities, with the descriptors that it is
//! meant to have and no others.
#![allow(unsafe_code)]

use crate::start::user::User;
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
            .envs([
                ("PATH", "/usr/local/bin:/usr/bin:/bin"),
                ("LC_ALL", "C"),
                ("HOME", "/nonexistent"),
            ])
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(if self.stdout {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stderr(Stdio::piped());
        lower(&mut command, self.user, Some(self.memlock));
        let highest = self
            .fds
            .iter()
            .map(|(number, _)| *number)
            .max()
            .unwrap_or(0);
        // Registered after `lower`, which makes every descriptor close-on-exec: the ones that are
        // mapped now are exactly those that stay.
        let mappings = self.fds.into_iter().map(|(child_fd, parent_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        command
            .fd_mappings(mappings.collect())
            .map_err(io::Error::other)?;
        let plugs = plug(highest)?;
        let child = command.spawn();
        drop(plugs);
        child
    }
}

impl User {
    /// Spawns a command as the user, confined as a VMM is: for asking an emulator what it has.
    /// Without privileges it runs as the caller, who has none to lose but keys.
    ///
    /// # Errors
    /// What the system answered.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        lower(command, self, None);
        command.spawn()
    }
}

/// Makes the command's process give up what it can: all privileges of root, else what a caller can.
fn lower(command: &mut Command, user: &User, memlock: Option<u64>) {
    if nix::unistd::Uid::effective().is_root() {
        confine(command, user, memlock);
    } else {
        restrict(command);
    }
}

/// Makes the command's process, which stays the caller's, give up what it can without privileges.
fn restrict(command: &mut Command) {
    let parent = rustix::process::getpid();
    // SAFETY: as in `confine`: system calls alone, with values captured before the fork.
    unsafe { command.pre_exec(move || become_restricted(parent)) };
}

/// Makes the command's process give up all privileges, and every descriptor that is not its own.
fn confine(command: &mut Command, user: &User, memlock: Option<u64>) {
    let user = user.clone();
    let parent = rustix::process::getpid();
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe
    // calls may be made: it makes system calls alone, with values captured before the fork, and
    // allocates nothing.
    unsafe { command.pre_exec(move || become_unprivileged(&user, memlock, parent)) };
}

/// Takes every free number up to `highest` until the process is spawned. The pipe by which a failed
/// exec is reported gets its number at that time; were it one that a descriptor is mapped to, the
/// report would be written into that file.
fn plug(highest: RawFd) -> io::Result<Vec<OwnedFd>> {
    let mut plugs = vec![OwnedFd::from(std::fs::File::open("/dev/null")?)];
    while plugs.last().is_some_and(|plug| plug.as_raw_fd() <= highest) {
        let next = plugs.last().map(OwnedFd::try_clone).transpose()?;
        plugs.extend(next);
    }
    Ok(plugs)
}

/// What happens in the child before the program runs. The order matters: limits and the bounding
/// set need privileges, which go with the user.
fn become_unprivileged(
    user: &User,
    memlock: Option<u64>,
    parent: rustix::process::Pid,
) -> io::Result<()> {
    // A session of its own: the terminal's Ctrl-C is for the manager, which ends the guest in
    // order.
    rustix::process::setsid()?;
    if let Some(memlock) = memlock {
        limit(Resource::Memlock, memlock)?;
    }
    // As root, whose quota of keys no other user can use up.
    join_new_keyring()?;
    for bit in 0..64 {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << bit,
        )) {
            // The kernel knows no such capability.
            Err(rustix::io::Errno::INVAL) => break,
            other => other?,
        }
    }
    user.enter()?;
    give_up_the_rest(parent)
}

/// What happens in a child that stays the caller's. Its limit on locked memory is the caller's too.
fn become_restricted(parent: rustix::process::Pid) -> io::Result<()> {
    rustix::process::setsid()?;
    join_new_keyring()?;
    // A caller that has put another user aside could take it back.
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    give_up_the_rest(parent)
}

/// Gives up what needs no privileges to be given up.
fn give_up_the_rest(parent: rustix::process::Pid) -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    limit(Resource::Core, 0)?;
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    end_with(parent)?;
    close_on_exec_from(3)
}

/// Has the kernel send SIGTERM when the parent ends. To be called after the change of user, which
/// clears it.
fn end_with(parent: rustix::process::Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    // The parent may be gone already.
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

/// Replaces the session keyring, which holds keys of the caller (a Kerberos ticket, say), by a new
/// and empty one.
fn join_new_keyring() -> io::Result<()> {
    let operation = libc::KEYCTL_JOIN_SESSION_KEYRING;
    // SAFETY: keyctl takes a number and, as the name, a null pointer here: the keyring has none.
    let joined = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            operation,
            std::ptr::null::<libc::c_char>(),
        )
    };
    match checked(joined) {
        // A kernel without keys; or a filter of system calls, which the child has too.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => Ok(()),
        other => other,
    }
}

fn limit(resource: Resource, bytes: u64) -> io::Result<()> {
    Ok(rustix::process::setrlimit(
        resource,
        Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        },
    )?)
}

/// Marks every descriptor from `first` up as close-on-exec, however it came to be open.
fn close_on_exec_from(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range takes numbers alone. With CLOSE_RANGE_CLOEXEC it closes nothing now.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    checked(done)
}

/// Returns the error of a system call that failed.
fn checked(returned: libc::c_long) -> io::Result<()> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SESSION: libc::c_int = -3; // KEY_SPEC_SESSION_KEYRING

    /// Adds a key to the calling thread's session keyring that its possessor alone can see.
    fn add_key(name: &str) {
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: add_key reads two C strings and a payload of one byte, which live until it
        // returns.
        let key = unsafe {
            libc::syscall(
                libc::SYS_add_key,
                c"user".as_ptr(),
                name.as_ptr(),
                c"x".as_ptr(),
                1,
                SESSION,
            )
        };
        checked(key).unwrap();
        // SAFETY: keyctl takes numbers alone here.
        let done =
            unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, key, 0x3f00_0000) };
        checked(done).unwrap();
    }

    fn output(spawn: impl FnOnce(&mut Command) -> io::Result<Child>) -> String {
        let mut command = Command::new("/bin/cat");
        command.arg("/proc/keys").stdout(Stdio::piped());
        let output = spawn(&mut command).unwrap().wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn child_sees_no_key_of_its_parents_session() {
        // A keyring belongs to a thread: others in this process keep theirs.
        let name = format!("passthru-test-{}", std::process::id());
        join_new_keyring().unwrap();
        add_key(&name);
        assert!(fs::read_to_string("/proc/keys").unwrap().contains(&name));
        assert!(
            output(Command::spawn).contains(&name),
            "a plain child has its parent's session keyring"
        );
        let user = User::choose(None).unwrap();
        assert!(!output(|command| user.spawn(command)).contains(&name));
        let restricted = |command: &mut Command| {
            restrict(command);
            command.spawn()
        };
        assert!(!output(restricted).contains(&name));
    }
}
