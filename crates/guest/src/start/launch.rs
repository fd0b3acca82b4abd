//! The start of a guest: everything is opened, devices change hands, the VMM is spawned and
//! answers.

use crate::error::Error;
use crate::opener::Opener;
use crate::plan::start_plan::Plan;
use crate::run::guest::{Guest, Lifecycle, console, console_label};
use crate::run::leftovers::Leftovers;
use crate::run::machine::Machine;
use crate::run::state::StateDir;
use crate::run::vmm::Vmm;
use crate::start::nvram;
use crate::start::opened::{self, Opened};
use crate::start::spawn::Process;
use nix::unistd::Uid;
use passthru_domain::Domain;
use passthru_domain::device::chardev::CharSourceType;
use passthru_domain::device::memballoon::MemballoonModel;
use passthru_host::{Device, Host};
use passthru_qemu::explain;
use passthru_qemu::monitor::{self, Qmp};
use rustix::process::Resource;
use serde_json::json;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time for all answers of the VMM that are waited for at a time. It answers at once, unless it
/// hangs.
const ANSWER: Duration = Duration::from_secs(30);
/// How often a VMM that closed its monitor is given a tenth of a second to end, before it counts as
/// hung.
const CLOSING: usize = 50;
/// The interval in which such a VMM is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A VMM that has set the guest up.
struct Launched {
    machine: Machine,
    console: Option<PathBuf>,
}

impl Plan {
    /// Starts the guest, paused: [`Guest::resume`] lets it go. `interrupted` is
    /// asked between the steps.
    ///
    /// # Errors
    /// Whatever a step met. Everything is as it was before then: devices on their former drivers,
    /// no process left, the folder gone; but for [`Error::NotRestored`], which says what is not.
    pub fn start(self, host: &Host, interrupted: &dyn Fn() -> bool) -> Result<Guest, Error> {
        if self.needs_root() && !Uid::effective().is_root() {
            return Err(Error::NotRoot);
        }
        // Values are dropped in the reverse order of their making, which is the right order for a
        // start that fails on the way.
        let state = StateDir::create(&self.run_dir, &self.name, host)?;
        self.check(host)?;
        if !self.requests.is_empty() {
            host.require_iommufd()?;
        }
        let opener = Opener::new(&self.user);
        nvram::make(&self.domain, &opener)?;
        let fds = opened::before_devices(&self, &state, interrupted)?;
        let mut leftovers = Leftovers::default();
        for path in self.folders() {
            leftovers.make_folder(Path::new(path), &opener)?;
        }
        let identities = self.identities(host)?;
        let registration = self
            .is_recorded()
            .then(|| self.register(identities, interrupted))
            .transpose()?;
        let assignment = host
            .assign_unless(&self.requests, Some(&self.name), false, interrupted)
            .map_err(|error| match error {
                passthru_host::Error::Interrupted => Error::Interrupted,
                other => other.into(),
            })?;
        let launched = self.launch(
            host,
            &state,
            &assignment.devices(),
            &mut leftovers,
            fds,
            interrupted,
        );
        let Launched { machine, console } = match launched {
            Ok(launched) => launched,
            Err(error) => {
                return Err(match assignment.give_back() {
                    Ok(()) => error,
                    Err(errors) => Error::NotRestored {
                        after: Box::new(error),
                        errors,
                    },
                });
            }
        };
        if let Some(registration) = registration {
            registration.keep();
        }
        let (lifecycle, uid) = (Lifecycle::of(&self.domain), self.user.uid());
        Ok(Guest {
            memlock: self.memlock,
            name: self.name,
            machine,
            assignment,
            leftovers,
            state,
            console,
            lifecycle,
            uid,
        })
    }

    /// From the devices on their drivers to a guest that waits to be let go. When this fails,
    /// nothing has a device open any more.
    fn launch(
        &self,
        host: &Host,
        state: &StateDir,
        devices: &[Device],
        leftovers: &mut Leftovers,
        mut fds: Opened,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Launched, Error> {
        let with = opened::with_devices(self, host, devices, leftovers)?;
        fds.extend(with.opened);
        if interrupted() {
            return Err(Error::Interrupted);
        }
        let failed = |source| {
            Error::Monitor(monitor::Error::Io {
                what: "connect".into(),
                source,
            })
        };
        // Before the VMM has the listener: with one that ends at once, the connection is closed,
        // and the VMM's own message says why.
        let stream = UnixStream::connect(state.monitor_path()).map_err(failed)?;
        let uid = self.user.uid();
        state.note_start(host, uid)?;
        let vmm = self.spawn(fds)?;
        state.note_vmm(host, uid, vmm.pid())?;
        let mut machine = Machine::new(vmm, Qmp::new(stream, ANSWER).map_err(failed)?);
        match self.set_up(&mut machine, interrupted) {
            Ok(console) => {
                empty(&with.to_empty);
                Ok(Launched { machine, console })
            }
            // One that has ended says why.
            Err(Error::Monitor(_)) if ends(machine.vmm(), interrupted) => {
                Err(self.ended(machine.vmm()))
            }
            Err(error) => Err(error),
        }
    }

    fn spawn(&self, fds: Opened) -> Result<Vmm, Error> {
        let process = Process {
            program: &self.line.emulator,
            arguments: &self.line.render(&self.handover),
            env: &self.line.env,
            user: &self.user,
            memlock: self
                .memlock
                .under(rustix::process::getrlimit(Resource::Memlock).maximum),
            stdout: has_stdio(&self.domain),
            fds,
        };
        process
            .spawn()
            .and_then(Vmm::new)
            .map_err(|source| Error::Spawn {
                emulator: self.line.emulator.clone(),
                user: self.user.name.clone(),
                source,
            })
    }

    /// Waits until the VMM has set the machine up, which with devices and much memory takes its
    /// time: so the wait ends only with the VMM or an interruption. Returns the guest's console.
    fn set_up(
        &self,
        machine: &mut Machine,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<PathBuf>, Error> {
        machine.wait(machine.negotiation(), interrupted)?;
        let label = console_label(&self.domain);
        let chardevs = label
            .as_ref()
            .map(|_| machine.submit("query-chardev", json!({})))
            .transpose()?;
        let balloon =
            balloon(&self.domain).map(|value| machine.submit("balloon", json!({ "value": value })));
        if let Some(ticket) = balloon.transpose()? {
            machine.wait(ticket, interrupted)?;
        }
        let answer = chardevs
            .map(|ticket| machine.wait(ticket, interrupted))
            .transpose()?;
        Ok(answer
            .zip(label)
            .and_then(|(answer, label)| console(&answer, &label)))
    }

    /// Says why the VMM ended, by its own message.
    fn ended(&self, vmm: &mut Vmm) -> Error {
        let (status, messages) = vmm.wait();
        let explained = explain(&messages, &self.line);
        let about = explained.as_ref().and_then(|e| match (&e.id, &e.host) {
            (Some(id), Some(host)) => Some(format!("{id} ({host})")),
            (Some(id), None) => Some(id.clone()),
            (None, host) => host.map(|host| host.to_string()),
        });
        let hint = self.memlock.explain(&messages);
        let hint = hint.or_else(|| explained.and_then(|e| e.hint).map(String::from));
        Error::Ended {
            emulator: self.line.emulator.clone(),
            status: status.ok(),
            about,
            messages,
            hint,
        }
    }
}

/// Waits for a VMM that closed its monitor, a little. Returns whether it has ended.
fn ends(vmm: &mut Vmm, interrupted: &dyn Fn() -> bool) -> bool {
    (0..CLOSING)
        .take_while(|_| !interrupted())
        .any(|_| vmm.ends_within(LOOK))
}

/// Returns the bytes that a guest with less `<currentMemory>` than `<memory>` keeps: its balloon is
/// inflated by the difference.
fn balloon(domain: &Domain) -> Option<u64> {
    let current = domain.current_memory?.bytes();
    let model = domain
        .devices
        .memballoon
        .as_ref()
        .and_then(|balloon| balloon.model);
    let is_less = domain.memory.is_some_and(|memory| current < memory.bytes());
    (is_less && model == Some(MemballoonModel::Virtio)).then_some(current)
}

/// The last start's log makes room for this one's, now that it is sure to be one.
fn empty(logs: &[File]) {
    for log in logs {
        if let Err(e) = log.set_len(0) {
            tracing::warn!("cannot empty a log of the last start: {e}");
        }
    }
}

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
    use super::*;
    use crate::plan::start_plan::Settings;
    use crate::start::record::Records;
    use crate::start::user::User;
    use passthru_domain::{Arch, Backend};
    use passthru_qemu::Capabilities;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    /// Plans a guest without devices whose emulator is a script.
    fn plan(folder: &Path, script: &str) -> Plan {
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
        domain.settle_backend(Backend::Iommufd);
        let settings = Settings {
            user: User::choose(None).unwrap(),
            named: Default::default(),
            run_dir: folder.join("run"),
            records: Records::new(folder.join("guests")),
            share_user: false,
            accept_new_device: false,
        };
        Plan::new(domain, &capabilities, settings).unwrap()
    }

    fn launch(plan: &Plan) -> Result<Launched, Error> {
        let host = Host::new();
        let state = StateDir::create(&plan.run_dir, &plan.name, &host).unwrap();
        let fds = opened::before_devices(plan, &state, &|| false).unwrap();
        plan.launch(&host, &state, &[], &mut Leftovers::default(), fds, &|| {
            false
        })
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
        let state = StateDir::create(&plan.run_dir, &plan.name, &Host::new()).unwrap();
        let opened = opened::before_devices(&plan, &state, &|| true);
        assert!(matches!(opened, Err(Error::Interrupted)), "{opened:?}");
    }
}
