//! The start of a guest, from its plan to a VMM that waits to be resumed.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;
use passthru_domain::Domain;
use passthru_domain::device::chardev::CharSourceType;
use passthru_domain::device::memballoon::MemballoonModel;
use passthru_host::{Assignment, Host};
use passthru_qemu::explain;
use passthru_qemu::monitor::{self, Command, Qmp};
use rustix::process::Resource;

use crate::error::Error;
use crate::opener::Opener;
use crate::plan::start_plan::StartPlan;
use crate::run::console::{console_label, console_path};
use crate::run::folder::GuestFolder;
use crate::run::guest::{Guest, Lifecycle};
use crate::run::leftovers::Leftovers;
use crate::run::machine::Machine;
use crate::run::vmm::Vmm;
use crate::start::check::{check_host, check_identities};
use crate::start::opened::{self, Opened};
use crate::start::passwords;
use crate::start::registration::register;
use crate::start::slow_start::SlowStart;
use crate::start::spawn::Process;
use crate::start::{nvram, vfio_folder};

/// Time limit for the answers of the VMM. A VMM that does not hang answers at once.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Number of tenths of a second that a VMM has to end after it closed its monitor. A VMM that needs
/// longer counts as hung.
const CLOSING_TENTHS: usize = 50;
const TENTH: Duration = Duration::from_millis(100);

/// A VMM that has set its guest up.
struct Launched {
    machine: Machine,
    console: Option<PathBuf>,
}

/// Starts a guest, which then waits: [`Guest::resume`] lets it run. Calls `interrupted` between the
/// steps and while it waits.
///
/// # Errors
/// The error of the step that failed. Before this returns, everything is put back: devices are on
/// their former drivers, no process is left, and the guest's folder is gone. If a device cannot be
/// put back, then [`Error::NotRestored`].
pub fn start(plan: StartPlan, host: &Host, interrupted: &dyn Fn() -> bool) -> Result<Guest, Error> {
    if plan.needs_root() && !Uid::effective().is_root() {
        return Err(Error::NotRoot);
    }
    // Rust drops values in the reverse order of their declaration, which is the right order for a
    // start that fails on the way.
    let folder = GuestFolder::create(&plan.run_dir, &plan.name, host)?;
    check_host(&plan, host)?;
    plan.require_backends(host)?;
    let opener = Opener::new(&plan.user);
    nvram::make(&plan.domain, &opener)?;
    let fds = opened::before_devices(&plan, &folder, interrupted)?;
    let mut leftovers = Leftovers::default();
    for path in plan.folders() {
        leftovers.make_folder(Path::new(path), &opener)?;
    }
    let registration = if plan.is_recorded() {
        // The steps above take time, in which a card can be exchanged.
        let identities = check_identities(&plan, host)?;
        Some(register(&plan, identities, interrupted)?)
    } else {
        None
    };
    let assignment = assign(&plan, host, interrupted)?;
    let launch = Launch {
        plan: &plan,
        host,
        folder: &folder,
        interrupted,
    };
    let Launched { machine, console } = match launch.run(&assignment, &mut leftovers, fds) {
        Ok(launched) => launched,
        Err(error) => return Err(give_back_after(error, assignment)),
    };
    if let Some(registration) = registration {
        registration.keep();
    }
    Ok(Guest {
        lifecycle: Lifecycle::from_domain(&plan.domain),
        uid: plan.user.uid(),
        memlock: plan.memlock,
        name: plan.name,
        machine,
        assignment,
        leftovers,
        folder,
        console,
    })
}

fn assign(
    plan: &StartPlan,
    host: &Host,
    interrupted: &dyn Fn() -> bool,
) -> Result<Assignment, Error> {
    host.assign_unless(&plan.requests, Some(&plan.name), false, interrupted)
        .map_err(|error| match error {
            passthru_host::Error::Interrupted => Error::Interrupted,
            other => other.into(),
        })
}

/// Gives the devices back after a start that failed. Returns the error to report.
fn give_back_after(error: Error, assignment: Assignment) -> Error {
    match assignment.give_back() {
        Ok(()) => error,
        Err(errors) => Error::NotRestored {
            after: Box::new(error),
            errors,
        },
    }
}

/// The part of a start for which the devices are on their VFIO drivers.
struct Launch<'a> {
    plan: &'a StartPlan,
    host: &'a Host,
    folder: &'a GuestFolder,
    interrupted: &'a dyn Fn() -> bool,
}

impl Launch<'_> {
    /// Opens the devices, spawns the VMM and waits until it has set the guest up. If this fails, no
    /// process has a device open any more.
    fn run(
        &self,
        assignment: &Assignment,
        leftovers: &mut Leftovers,
        mut fds: Opened,
    ) -> Result<Launched, Error> {
        let devices = assignment.devices();
        let with = opened::with_devices(self.plan, self.host, &devices, leftovers)?;
        fds.extend(with.opened);
        let vfio = vfio_folder::for_plan(self.plan, self.host, &devices)?;
        if (self.interrupted)() {
            return Err(Error::Interrupted);
        }
        // The connection is made before the VMM has the listener. So a VMM that ends at once closes
        // the connection, and its own message has the cause.
        let stream = UnixStream::connect(self.folder.monitor_path()).map_err(monitor_error)?;
        let uid = self.plan.user.uid();
        self.folder.note_start(self.host, uid)?;
        let vmm = self.spawn(fds, vfio)?;
        self.folder.note_vmm(self.host, uid, vmm.pid())?;
        let monitor = Qmp::new(stream, ANSWER_TIME).map_err(monitor_error)?;
        let mut machine = Machine::new(vmm, monitor);
        match self.set_up(&mut machine) {
            Ok(console) => {
                empty(&with.to_empty);
                Ok(Launched { machine, console })
            }
            Err(Error::Monitor(_)) if self.has_ended_soon(machine.vmm()) => {
                Err(self.error_of_ended(machine.vmm()))
            }
            Err(error) => Err(error),
        }
    }

    fn spawn(&self, fds: Opened, vfio: Option<OwnedFd>) -> Result<Vmm, Error> {
        let plan = self.plan;
        let hard_limit = rustix::process::getrlimit(Resource::Memlock).maximum;
        let process = Process {
            program: &plan.line.emulator,
            arguments: &plan.line.render(&plan.handover),
            env: &plan.line.env,
            user: &plan.user,
            memlock: plan.memlock.bytes_to_set(hard_limit),
            stdout: has_stdio(&plan.domain),
            vfio,
            fds,
        };
        process
            .spawn()
            .and_then(Vmm::new)
            .map_err(|source| Error::Spawn {
                emulator: plan.line.emulator.clone(),
                user: plan.user.name.clone(),
                source,
            })
    }

    /// Waits until the VMM has set the machine up, and returns the path of the guest's console.
    ///
    /// With devices and much memory this takes long. So the wait has no time limit: it ends when
    /// the VMM ends or the start is interrupted.
    fn set_up(&self, machine: &mut Machine) -> Result<Option<PathBuf>, Error> {
        let slow_start = SlowStart::new(&self.plan.nvme);
        machine.wait(machine.negotiation(), &|| {
            slow_start.warn_if_late();
            (self.interrupted)()
        })?;
        let passwords = self.plan.domain.devices.display_passwords();
        passwords::set(&passwords, machine, self.interrupted)?;
        let label = console_label(&self.plan.domain);
        let chardevs = match &label {
            Some(_) => Some(machine.submit(&Command::QueryChardev)?),
            None => None,
        };
        if let Some(bytes) = balloon_target(&self.plan.domain) {
            let ticket = machine.submit(&Command::Balloon { value: bytes })?;
            machine.wait(ticket, self.interrupted)?;
        }

        let answer = match chardevs {
            Some(ticket) => machine.wait(ticket, self.interrupted)?,
            None => return Ok(None),
        };
        Ok(label.and_then(|label| console_path(&answer, &label)))
    }

    /// Waits a little for a VMM that closed its monitor. Returns whether it has ended.
    fn has_ended_soon(&self, vmm: &mut Vmm) -> bool {
        for _ in 0..CLOSING_TENTHS {
            if (self.interrupted)() {
                return false;
            }
            if vmm.ends_within(TENTH) {
                return true;
            }
        }

        false
    }

    /// Returns the error for a VMM that has ended, with its own messages.
    fn error_of_ended(&self, vmm: &mut Vmm) -> Error {
        let (status, messages) = vmm.wait();
        let explained = explain(&messages, &self.plan.line);
        let about = explained.as_ref().and_then(|e| match (&e.id, &e.host) {
            (Some(id), Some(host)) => Some(format!("{id} ({host})")),
            (Some(id), None) => Some(id.clone()),
            (None, host) => host.map(|host| host.to_string()),
        });
        let hint = self
            .plan
            .memlock
            .explain(&messages)
            .or_else(|| explained.and_then(|e| e.hint).map(String::from));
        Error::Ended {
            emulator: self.plan.line.emulator.clone(),
            status: status.ok(),
            about,
            messages,
            hint,
        }
    }
}

fn monitor_error(source: std::io::Error) -> Error {
    Error::Monitor(monitor::Error::Io {
        what: "connect".into(),
        source,
    })
}

/// Returns the bytes that a guest with less `<currentMemory>` than `<memory>` keeps: it starts with
/// the balloon inflated by the difference.
fn balloon_target(domain: &Domain) -> Option<u64> {
    let current = domain.current_memory?.bytes();
    let balloon = domain.devices.memballoon.as_ref()?;
    let is_less = domain.memory.is_some_and(|memory| current < memory.bytes());
    (is_less && balloon.model == Some(MemballoonModel::Virtio)).then_some(current)
}

/// Empties the logs of the last start, now that this start has succeeded.
fn empty(logs: &[File]) {
    for log in logs {
        if let Err(e) = log.set_len(0) {
            tracing::warn!("cannot empty a log of the last start: {e}");
        }
    }
}

/// Returns whether the domain has a character device on the VMM's standard output.
fn has_stdio(domain: &Domain) -> bool {
    let mut ports = domain
        .devices
        .serials
        .iter()
        .chain(&domain.devices.consoles);
    ports.any(|port| port.backend.kind == Some(CharSourceType::Stdio))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use passthru_domain::{Arch, Backend};
    use passthru_qemu::Capabilities;

    use super::*;
    use crate::plan::start_plan::StartSettings;
    use crate::start::user::User;

    /// Plans a guest without devices whose emulator is a script.
    fn plan(folder: &Path, script: &str) -> StartPlan {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        let emulator = folder.join("emulator");
        // By another process: a child of another test must not have the script open for writing.
        let mut write = Command::new("/bin/sh");
        write.args([
            "-c",
            "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"",
        ]);
        assert!(write.arg(&emulator).arg(script).status().unwrap().success());
        let xml = format!(
            "<domain type='qemu'><name>vm</name><memory>1048576</memory><os><type arch='x86_64' \
             machine='q35'>hvm</type></os><devices><emulator>{}</emulator></devices></domain>",
            emulator.display()
        );
        let capabilities = Capabilities::builtin(Arch::X86_64);
        let mut domain = Domain::parse(&xml)
            .unwrap()
            .complete(&capabilities)
            .unwrap();
        domain.set_default_backend(Backend::Iommufd);
        let settings = StartSettings::for_test(folder, User::choose(None).unwrap());
        StartPlan::new(domain, &capabilities, settings).unwrap()
    }

    fn launch(plan: &StartPlan) -> Result<Launched, Error> {
        let host = Host::new();
        let folder = GuestFolder::create(&plan.run_dir, &plan.name, &host).unwrap();
        let fds = opened::before_devices(plan, &folder, &|| false).unwrap();
        let launch = Launch {
            plan,
            host: &host,
            folder: &folder,
            interrupted: &|| false,
        };
        let assignment = host.assign(&[], Some("vm"), false).unwrap();
        launch.run(&assignment, &mut Leftovers::default(), fds)
    }

    #[test]
    fn vmm_that_ends_at_once_is_reported_by_its_message() {
        for script in [
            "echo broken >&2; exit 3",
            "sleep 0.2; echo broken >&2; exit 3",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let Err(error) = launch(&plan(folder.path(), script)) else {
                panic!("{script}")
            };
            let Error::Ended { messages, .. } = &error else {
                panic!("{script}: {error:?}")
            };
            assert_eq!(messages, "broken\n", "{script}");
        }
    }

    #[test]
    fn interrupted_start_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path(), "exit 1");
        let folder = GuestFolder::create(&plan.run_dir, &plan.name, &Host::new()).unwrap();
        let opened = opened::before_devices(&plan, &folder, &|| true);
        assert!(matches!(opened, Err(Error::Interrupted)), "{opened:?}");
    }
}
