//! Spawning of VMMs: as an unprivileged user, without capabilities, with exactly the descriptors of
//! the handover.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use rustix::fs::CWD;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, mount_change, move_mount};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use crate::start::gate::Gate;
use crate::start::user::User;
use crate::start::vfio_folder::VFIO_DIR;

/// A VMM's process to spawn.
pub(crate) struct Process<'a> {
    pub(crate) program: &'a str,
    pub(crate) arguments: &'a [String],
    /// Environment variables, besides `PATH`, `LC_ALL` and `HOME`.
    pub(crate) env: &'a [(String, String)],
    pub(crate) user: &'a User,
    /// `RLIMIT_MEMLOCK` in bytes.
    pub(crate) memlock: u64,
    /// Whether standard output is a pipe: for a character device of type `stdio`.
    pub(crate) stdout: bool,
    /// Standard error of the process.
    pub(crate) stderr: Option<OwnedFd>,
    /// Mount of the process's own `/dev/vfio`, if it has one.
    pub(crate) vfio: Option<OwnedFd>,
    /// Descriptors of the process with their numbers there, from 3 up.
    pub(crate) fds: Vec<(RawFd, OwnedFd)>,
}

impl Process<'_> {
    /// Spawns the process, with no standard input. Closes the
    /// descriptors in this process, also on failure.
    ///
    /// Calls `name` with the number of the process before its program begins. If `name` fails, or
    /// this process is killed meanwhile, the program never begins.
    ///
    /// # Errors
    /// The error of `name`, or the error of the step that failed.
    pub(crate) fn spawn(
        self,
        name: &mut (dyn FnMut(u32) -> io::Result<()> + Send),
    ) -> io::Result<Child> {
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
            .stderr(self.stderr.map_or_else(Stdio::null, Stdio::from));
        // The VMM outlives this process, so that a successor can manage it.
        lower(&mut command, self.user, Some(self.memlock), self.vfio, None);
        let highest = self
            .fds
            .iter()
            .map(|(number, _)| *number)
            .max()
            .unwrap_or(0);
        // This comes after `lower`, which makes every descriptor close-on-exec. So exactly the
        // descriptors that are mapped now stay open.
        let mappings = self.fds.into_iter().map(|(child_fd, parent_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        command
            .fd_mappings(mappings.collect())
            .map_err(io::Error::other)?;
        // The gate comes last, so its descriptors lie above the numbers that are mapped.
        let taken = take_numbers(highest)?;
        let gate = Gate::new(&mut command)?;
        let child = gate.spawn(&mut command, name);
        drop(taken);
        child
    }
}

impl User {
    /// Spawns a command that asks an emulator for its capabilities. The command is confined as a
    /// VMM is, and ends with this process. Without root, it runs as the caller and loses only the
    /// caller's keys.
    ///
    /// # Errors
    /// If the kernel refuses a step, then the kernel's error.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let parent = rustix::process::getpid();
        lower(command, self, None, None, Some(parent));
        command.spawn()
    }
}

/// Makes the command's process give up its privileges. If this process is root, these are all
/// privileges; else those that a process without root can give up. With `parent`, which is this
/// process, the command's process ends with it.
fn lower(
    command: &mut Command,
    user: &User,
    memlock: Option<u64>,
    vfio: Option<OwnedFd>,
    parent: Option<Pid>,
) {
    if nix::unistd::Uid::effective().is_root() {
        confine(command, user, memlock, vfio, parent);
    } else {
        restrict(command, parent);
    }
}

/// Makes the command's process, which stays the caller's, give up its privileges without root.
fn restrict(command: &mut Command, parent: Option<Pid>) {
    // SAFETY: as in `confine`: system calls alone, with values captured before the fork.
    unsafe { command.pre_exec(move || become_restricted(parent)) };
}

/// Makes the command's process give up all privileges, and every descriptor but its own.
fn confine(
    command: &mut Command,
    user: &User,
    memlock: Option<u64>,
    vfio: Option<OwnedFd>,
    parent: Option<Pid>,
) {
    let user = user.clone();
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe
    // calls are permitted. It makes only system calls, with values that were captured before the
    // fork, and allocates nothing.
    unsafe { command.pre_exec(move || become_unprivileged(&user, memlock, vfio.as_ref(), parent)) };
}

/// Takes every free number up to `highest`, until the process is spawned.
///
/// `Command::spawn` makes a pipe for the error of a failed exec. If the pipe got a number that a
/// descriptor is mapped to, the child would write the error into that file.
fn take_numbers(highest: RawFd) -> io::Result<Vec<OwnedFd>> {
    let mut taken = vec![OwnedFd::from(std::fs::File::open("/dev/null")?)];
    while taken.last().is_some_and(|fd| fd.as_raw_fd() <= highest) {
        let next = taken.last().map(OwnedFd::try_clone).transpose()?;
        taken.extend(next);
    }

    Ok(taken)
}

/// Gives up all privileges in the child, before the program runs. Limits and the bounding set come
/// before the change of user, since they need root.
fn become_unprivileged(
    user: &User,
    memlock: Option<u64>,
    vfio: Option<&OwnedFd>,
    parent: Option<Pid>,
) -> io::Result<()> {
    // In a session of its own, the child gets no Ctrl-C of the terminal. The manager gets it and
    // ends the guest in order.
    rustix::process::setsid()?;
    if let Some(memlock) = memlock {
        limit(Resource::Memlock, memlock)?;
    }
    if let Some(mount) = vfio {
        enter_own_vfio(mount)?;
    }
    // As root, since other users can use up the quota of keys of their uid.
    join_new_keyring()?;
    for bit in 0..64 {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << bit,
        )) {
            // The kernel has no further capabilities.
            Err(rustix::io::Errno::INVAL) => break,
            other => other?,
        }
    }

    user.enter()?;
    give_up_the_rest(parent)
}

/// Puts a mount over `/dev/vfio`, for this process alone.
///
/// What the host unmounts later goes here too, as far as its mounts are shared. So the VMM keeps no
/// file system of the host busy.
fn enter_own_vfio(mount: &OwnedFd) -> io::Result<()> {
    // SAFETY: the child has one thread, and shares no file system attributes that another process
    // relies on. Descriptors stay shared as they were.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)? };
    let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change(c"/", propagation)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(mount, c"", CWD, VFIO_DIR, flags)?)
}

/// Gives up privileges in a child that stays the caller's. Keeps the caller's limit on locked
/// memory.
fn become_restricted(parent: Option<Pid>) -> io::Result<()> {
    rustix::process::setsid()?;
    join_new_keyring()?;
    // A saved uid or gid could be taken back.
    let uid = rustix::process::geteuid();
    let gid = rustix::process::getegid();
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    give_up_the_rest(parent)
}

/// Gives up privileges that a process can give up without root.
fn give_up_the_rest(parent: Option<Pid>) -> io::Result<()> {
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
    if let Some(parent) = parent {
        end_with(parent)?;
    }
    close_on_exec_from(3)
}

/// Makes the kernel send SIGTERM when the parent ends. The change of user clears this setting, so
/// call this after it.
///
/// # Errors
/// If the parent has ended already, then `BrokenPipe`.
fn end_with(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

/// Replaces the session keyring, which holds keys of the caller such as a Kerberos ticket, by an
/// empty one.
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
        // The kernel has no keys, or a filter of system calls hides them, from the child too.
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

/// Marks every open descriptor from `first` up as close-on-exec.
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
    use std::fs;

    use super::*;

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
            restrict(command, None);
            command.spawn()
        };
        assert!(!output(restricted).contains(&name));
    }
}
