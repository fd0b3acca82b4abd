//! A guest that runs: its VMM, its monitor, its end.

use crate::error::Error;
use crate::leftovers::Leftovers;
use crate::memlock::Memlock;
use crate::state::StateDir;
use crate::vmm::Vmm;
use passthru_domain::device::chardev::CharSourceType;
use passthru_domain::{Domain, LifecycleAction};
use passthru_host::Assignment;
use passthru_qemu::qmp::{self, Qmp};
use serde_json::{Value, json};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, ExitStatus};
use std::time::Duration;

/// Events that are dealt with before something else has its turn.
const EVENTS_AT_ONCE: usize = 64;

/// A guest with its VMM. Dropped, the VMM is killed and the devices are given back.
///
/// The order of the fields is the order of the end: first what has a device open, then the devices, then
/// the folder with the lock.
#[derive(Debug)]
pub struct Guest {
    pub(crate) name: String,
    pub(crate) monitor: Qmp,
    pub(crate) vmm: Vmm,
    pub(crate) assignment: Assignment,
    pub(crate) leftovers: Leftovers,
    pub(crate) uid: u32,
    pub(crate) state: StateDir,
    pub(crate) console: Option<PathBuf>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) memlock: Memlock,
}

/// What happens at events of the guest's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifecycle {
    on_poweroff: LifecycleAction,
    on_reboot: LifecycleAction,
}

/// How a guest ended.
#[derive(Debug)]
pub struct Ended {
    /// The VMM's exit status; nothing where the system did not say.
    pub status: Option<ExitStatus>,
    /// What the VMM said on standard error.
    pub messages: String,
    /// What the user can do where the VMM ended for a reason that is known.
    pub hint: Option<String>,
    /// Devices that could not be given back, each with the reason.
    pub not_restored: Vec<passthru_host::Error>,
}

impl Guest {
    /// Returns the guest's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the VMM's process.
    pub fn pid(&self) -> u32 {
        self.vmm.pid()
    }

    /// Returns the user that the VMM runs as.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Returns the path of the guest's console: the pseudo terminal of its first serial port or console
    /// that has one.
    pub fn console(&self) -> Option<&Path> {
        self.console.as_deref()
    }

    /// Returns the monitor's descriptor, readable when [`Guest::handle_events`] has something to do.
    pub fn monitor_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }

    /// Returns what the VMM writes to its standard output, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.vmm.take_stdout()
    }

    /// Lets the guest go on: after the start, where it waits (`cont`).
    ///
    /// # Errors
    /// Where the VMM refuses or does not answer.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.vmm.log();
        self.command("cont")
    }

    /// Asks the guest to power off, as by its button (`system_powerdown`). It may take its time, or not
    /// listen. When it does, that is the end, whatever `<on_poweroff>` says.
    ///
    /// # Errors
    /// Where the VMM does not answer.
    pub fn power_down(&mut self) -> Result<(), Error> {
        self.lifecycle =
            Lifecycle { on_poweroff: LifecycleAction::Destroy, on_reboot: LifecycleAction::Destroy };
        self.command("system_powerdown")
    }

    /// Tells the VMM to end now (`quit`): as if the guest's power was cut, but with all that it wrote to
    /// disks in the images.
    ///
    /// # Errors
    /// Where the VMM does not answer.
    pub fn quit(&mut self) -> Result<(), Error> {
        self.command("quit")
    }

    /// Kills the VMM.
    pub fn kill(&mut self) {
        self.vmm.kill();
    }

    /// Whether there is something for [`Guest::handle_events`] that was read already, and so does not make
    /// the descriptor readable.
    pub fn has_events(&self) -> bool {
        self.monitor.has_buffered()
    }

    /// Deals with what the VMM reported, some of it: the guest's power-off and reboot, by `<on_poweroff>`
    /// and `<on_reboot>`. Returns whether the VMM was told to end.
    ///
    /// # Errors
    /// Where the monitor has been closed.
    pub fn handle_events(&mut self) -> Result<bool, Error> {
        for _ in 0..EVENTS_AT_ONCE {
            let event = self.monitor.next_event(Duration::ZERO).map_err(Error::Monitor)?;
            let Some(event) = event else { break };
            tracing::debug!(name = event.name, "event");
            if event.name == "SHUTDOWN" && self.shut_down(&event.data)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits for the end of the VMM and gives the devices back.
    pub fn finish(self) -> Ended {
        let Self { monitor, mut vmm, assignment, leftovers, state, memlock, .. } = self;
        drop(monitor);
        let (status, messages) = vmm.wait();
        drop(vmm);
        let not_restored = assignment.give_back().err().unwrap_or_default();
        drop((leftovers, state));
        let hint = memlock.explain(&messages);
        Ended { status: status.ok(), messages, hint, not_restored }
    }

    /// Returns whether the VMM was told to end.
    fn shut_down(&mut self, data: &Value) -> Result<bool, Error> {
        let by = data.get("reason").and_then(Value::as_str).unwrap_or_default();
        if by.starts_with("host-") {
            // The VMM ends by itself: it was told to, or got a signal.
            return Ok(false);
        }
        let action = if by == "guest-reset" { self.lifecycle.on_reboot } else { self.lifecycle.on_poweroff };
        match action {
            LifecycleAction::Destroy => self.quit().map(|()| true),
            LifecycleAction::Restart | LifecycleAction::RenameRestart => {
                self.command("system_reset")?;
                self.command("cont").map(|()| false)
            }
            LifecycleAction::Preserve => {
                tracing::warn!("the guest has powered off; its VMM stays (on_poweroff)");
                Ok(false)
            }
        }
    }

    fn command(&mut self, name: &str) -> Result<(), Error> {
        self.monitor.execute(name, json!({})).map(drop).map_err(Error::Monitor)
    }
}

impl AsFd for Guest {
    /// Readable once the VMM has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.vmm.as_fd()
    }
}

impl Lifecycle {
    pub(crate) fn of(domain: &Domain) -> Self {
        Self {
            on_poweroff: domain.on_poweroff.unwrap_or(LifecycleAction::Destroy),
            on_reboot: domain.on_reboot.unwrap_or(LifecycleAction::Restart),
        }
    }
}

/// Asks the VMM for the pseudo terminal of the guest's first serial port or console that has one.
pub(crate) fn console(domain: &Domain, monitor: &mut Qmp) -> Result<Option<PathBuf>, qmp::Error> {
    let devices = &domain.devices;
    let mut ports = devices.serials.iter().chain(&devices.consoles);
    let Some(port) = ports.find(|port| port.backend.kind == Some(CharSourceType::Pty)) else {
        return Ok(None);
    };
    let label = format!("char{}", port.info.id());
    let all = monitor.execute("query-chardev", json!({}))?;
    let ours =
        all.as_array().into_iter().flatten().find(|c| c.get("label").and_then(Value::as_str) == Some(&label));
    let name = ours.and_then(|c| c.get("filename")).and_then(Value::as_str);
    Ok(name.and_then(pty_path))
}

/// Reads `pty:/dev/pts/N`, and nothing else: the VMM's word is not trusted with paths that root opens.
fn pty_path(name: &str) -> Option<PathBuf> {
    let number = name.strip_prefix("pty:/dev/pts/")?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| PathBuf::from(format!("/dev/pts/{number}")))
}
