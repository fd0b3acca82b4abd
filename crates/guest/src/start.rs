//! The start of a guest: everything is opened, devices change hands, the VMM is spawned and answers.

use crate::error::Error;
use crate::guest::{Guest, Lifecycle, console};
use crate::leftovers::Leftovers;
use crate::nvram;
use crate::open::{self, Opened};
use crate::opener::Opener;
use crate::plan::Plan;
use crate::spawn::Process;
use crate::state::StateDir;
use crate::vmm::Vmm;
use nix::unistd::Uid;
use passthru_domain::Domain;
use passthru_domain::device::chardev::CharSourceType;
use passthru_domain::device::memballoon::MemballoonModel;
use passthru_host::{Device, Host};
use passthru_qemu::{explain, qmp, qmp::Qmp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Resource;
use serde_json::json;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a wait looks whether it was interrupted.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// How long the VMM may take to answer a command. It answers at once, unless it hangs.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a VMM that closed its monitor is given to end, before it counts as hung.
const CLOSING: Duration = Duration::from_secs(2);

/// A VMM that has set the guest up.
struct Launched {
    vmm: Vmm,
    monitor: Qmp,
    console: Option<PathBuf>,
}

impl Plan {
    /// Starts the guest, paused: [`Guest::resume`] lets it go. `interrupted` is
    /// asked between the steps.
    ///
    /// # Errors
    /// Whatever a step met. Everything is as it was before then: devices on their former drivers, no
    /// process left, the folder gone; but for [`Error::NotRestored`], which says what is not.
    pub fn start(self, host: &Host, interrupted: &dyn Fn() -> bool) -> Result<Guest, Error> {
        if !Uid::effective().is_root() {
            return Err(Error::NotRoot);
        }
        // Values are dropped in the reverse order of their making, which is the right order for a start
        // that fails on the way.
        let state = StateDir::create(&self.run_dir, &self.name)?;
        self.check(host)?;
        if !self.requests.is_empty() {
            host.require_iommufd()?;
        }
        let opener = Opener::new(&self.user);
        nvram::make(&self.domain, &opener)?;
        let fds = open::before_devices(&self, &state)?;
        let mut leftovers = Leftovers::default();
        for path in self.folders() {
            leftovers.make_folder(Path::new(path), &opener)?;
        }
        let assignment = host.assign(&self.requests, Some(&self.name), false)?;
        let launched = self.launch(host, &state, &assignment.devices(), &mut leftovers, fds, interrupted);
        let Launched { vmm, monitor, console } = match launched {
            Ok(launched) => launched,
            Err(error) => {
                return Err(match assignment.give_back() {
                    Ok(()) => error,
                    Err(errors) => Error::NotRestored { after: Box::new(error), errors },
                });
            }
        };
        let (lifecycle, uid) = (Lifecycle::of(&self.domain), self.user.uid());
        let memlock = self.memlock;
        Ok(Guest {
            memlock,
            name: self.name,
            monitor,
            vmm,
            assignment,
            leftovers,
            state,
            console,
            lifecycle,
            uid,
        })
    }

    /// From the devices on their drivers to a guest that waits to be let go. When this fails, nothing has
    /// a device open any more.
    fn launch(
        &self,
        host: &Host,
        state: &StateDir,
        devices: &[Device],
        leftovers: &mut Leftovers,
        mut fds: Opened,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Launched, Error> {
        let with = open::with_devices(self, host, devices, leftovers)?;
        fds.extend(with.opened);
        if interrupted() {
            return Err(Error::Interrupted);
        }
        let mut vmm = self.spawn(fds)?;
        let mut monitor = self.connect(&mut vmm, state, interrupted)?;
        let console = console(&self.domain, &mut monitor).map_err(Error::Monitor)?;
        set_balloon(&self.domain, &mut monitor).map_err(Error::Monitor)?;
        empty(&with.to_empty);
        Ok(Launched { vmm, monitor, console })
    }

    fn spawn(&self, fds: Opened) -> Result<Vmm, Error> {
        let process = Process {
            program: &self.line.emulator,
            arguments: &self.line.render(&self.handover),
            env: &self.line.env,
            user: &self.user,
            memlock: self.memlock.under(rustix::process::getrlimit(Resource::Memlock).maximum),
            stdout: has_stdio(&self.domain),
            fds,
        };
        process.spawn().and_then(Vmm::new).map_err(|source| Error::Spawn {
            emulator: self.line.emulator.clone(),
            user: self.user.name.clone(),
            source,
        })
    }

    /// Waits until the VMM greets on its monitor. It has set up the whole machine by then, which with
    /// devices and much memory takes its time; so the wait ends only with the VMM or an interruption.
    fn connect(&self, vmm: &mut Vmm, state: &StateDir, interrupted: &dyn Fn() -> bool) -> Result<Qmp, Error> {
        let failed = |source| Error::Monitor(qmp::Error::Io { what: "connect".into(), source });
        let stream = UnixStream::connect(state.monitor_path()).map_err(failed)?;
        loop {
            let mut fds = [PollFd::new(&stream, PollFlags::IN), PollFd::new(vmm, PollFlags::IN)];
            match poll(&mut fds, Some(&LOOK)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(failed(e.into())),
            }
            let [greets, ends] = fds.map(|fd| !fd.revents().is_empty());
            match () {
                () if interrupted() => return Err(Error::Interrupted),
                () if ends => return Err(self.ended(vmm)),
                () if greets => break,
                () => {}
            }
        }
        match Qmp::connect(stream, ANSWER) {
            Err(_) if vmm.ends_within(CLOSING) => Err(self.ended(vmm)),
            other => other.map_err(Error::Monitor),
        }
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
        Error::Ended { emulator: self.line.emulator.clone(), status: status.ok(), about, messages, hint }
    }
}

/// A guest with less `<currentMemory>` than `<memory>` starts with its balloon blown up so far.
fn set_balloon(domain: &Domain, monitor: &mut Qmp) -> Result<(), qmp::Error> {
    let (Some(memory), Some(current)) = (domain.memory, domain.current_memory) else { return Ok(()) };
    let balloon = domain.devices.memballoon.as_ref().and_then(|balloon| balloon.model);
    if current.bytes() < memory.bytes() && balloon == Some(MemballoonModel::Virtio) {
        monitor.execute("balloon", json!({ "value": current.bytes() }))?;
    }
    Ok(())
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
    let mut ports = domain.devices.serials.iter().chain(&domain.devices.consoles);
    ports.any(|port| port.backend.kind == Some(CharSourceType::Stdio))
}
