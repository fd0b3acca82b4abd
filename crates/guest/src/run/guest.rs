//! A guest that runs: its VMM, its monitor, its end.

use crate::error::Error;
use crate::plan::memlock::Memlock;
use crate::run::folder::GuestFolder;
use crate::run::leftovers::Leftovers;
use crate::run::machine::Machine;
use passthru_domain::Domain;
use passthru_domain::lifecycle::LifecycleAction;
use passthru_host::Assignment;
use passthru_qemu::monitor::Command;
use serde_json::Value;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, ExitStatus};
use std::time::Instant;

/// Events that are dealt with before something else has its turn.
const EVENTS_AT_ONCE: usize = 64;

/// A guest with its VMM. Dropped, the VMM is told to quit, waited for, and killed only if it does
/// not end within a minute; then the devices are given back.
///
/// The order of the fields is the order of the end: first what has a device open, then the devices,
/// then the folder with the lock.
#[derive(Debug)]
pub struct Guest {
    pub(crate) name: String,
    pub(crate) machine: Machine,
    pub(crate) assignment: Assignment,
    pub(crate) leftovers: Leftovers,
    pub(crate) uid: u32,
    pub(crate) folder: GuestFolder,
    pub(crate) console: Option<PathBuf>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) memlock: Memlock,
}

/// What happens at events of the guest's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifecycle {
    on_poweroff: LifecycleAction,
    on_reboot: LifecycleAction,
    /// Whether it was said that a VMM stays after its guest's end.
    has_said: bool,
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
        self.machine.pid()
    }

    /// Returns the user that the VMM runs as.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Returns the path of the guest's console: the pseudo terminal of its first serial port or
    /// console that has one.
    pub fn console(&self) -> Option<&Path> {
        self.console.as_deref()
    }

    /// Returns the monitor's descriptor, readable when [`Guest::handle_events`] has something to
    /// do.
    pub fn monitor_fd(&self) -> BorrowedFd<'_> {
        self.machine.monitor().as_fd()
    }

    /// Whether [`Guest::handle_events`] has something to do once the monitor's descriptor is
    /// writable.
    pub fn wants_to_send(&self) -> bool {
        self.machine.monitor().wants_to_send()
    }

    /// Returns when [`Guest::handle_events`] is to be called though nothing has happened: the time
    /// for an answer is over.
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.monitor().deadline()
    }

    /// Returns what the VMM writes to its standard output, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.machine.vmm().take_stdout()
    }

    /// Lets the guest go on: after the start, where it waits (`cont`). `interrupted` is asked
    /// meanwhile.
    ///
    /// # Errors
    /// If the VMM refuses or does not answer in time, then [`Error::Monitor`]; if the wait is
    /// interrupted, then [`Error::Interrupted`].
    pub fn resume(&mut self, interrupted: &dyn Fn() -> bool) -> Result<(), Error> {
        self.machine.resume(interrupted)
    }

    /// Asks the guest to power off, as by its button (`system_powerdown`), without waiting. It may
    /// take its time, or not listen. When it does, that is the end, whatever `<on_poweroff>` says.
    ///
    /// # Errors
    /// If the monitor cannot be used any more, then [`Error::Monitor`].
    pub fn power_down(&mut self) -> Result<(), Error> {
        self.lifecycle.on_poweroff = LifecycleAction::Destroy;
        self.lifecycle.on_reboot = LifecycleAction::Destroy;
        self.machine.ask(&Command::SystemPowerdown)
    }

    /// Tells the VMM to end now (`quit`), without waiting: as if the guest's power was cut, but
    /// with all that it wrote to disks in the images.
    ///
    /// # Errors
    /// If the monitor cannot be used any more, then [`Error::Monitor`].
    pub fn quit(&mut self) -> Result<(), Error> {
        self.machine.ask(&Command::Quit)
    }

    /// Tells the VMM to end now by SIGTERM, where its monitor does not do: to the same effect.
    pub fn terminate(&mut self) {
        self.machine.vmm().terminate();
    }

    /// Kills the VMM. What it holds of disks is lost.
    pub fn kill(&mut self) {
        self.machine.vmm().kill();
    }

    /// Whether there is something for [`Guest::handle_events`] that was read already, and so does
    /// not make the descriptor readable.
    pub fn has_events(&self) -> bool {
        self.machine.monitor().has_buffered()
    }

    /// Sends and reads what goes at once, and deals with what the VMM reported, some of it: the
    /// guest's power-off and reboot, by `<on_poweroff>` and `<on_reboot>`. Returns whether the VMM
    /// was told to end.
    ///
    /// # Errors
    /// If the monitor has been closed or cannot be used any more, then [`Error::Monitor`].
    pub fn handle_events(&mut self) -> Result<bool, Error> {
        let advanced = self.machine.advance();
        for _ in 0..EVENTS_AT_ONCE {
            let Some(event) = self.machine.take_event() else {
                break;
            };
            tracing::debug!(name = event.name, "event");
            if event.name == "SHUTDOWN" && self.shut_down(&event.data)? {
                return Ok(true);
            }
        }
        advanced.map(|()| false).map_err(Error::Monitor)
    }

    /// Ends the VMM in order, as a drop does, and gives the devices back.
    pub fn end(mut self) -> Ended {
        self.machine.end();
        self.finish()
    }

    /// Waits for the end of the VMM and gives the devices back.
    pub fn finish(self) -> Ended {
        self.finish_after(Machine::finish)
    }

    /// Gives the devices back after a wait for the end of the VMM.
    fn finish_after(mut self, wait: fn(&mut Machine) -> (io::Result<ExitStatus>, String)) -> Ended {
        // If this panics, the fields are dropped in their order: the VMM first.
        let (status, messages) = wait(&mut self.machine);
        // Declared last, so dropped first: the VMM.
        let Self {
            memlock,
            folder,
            leftovers,
            assignment,
            machine,
            ..
        } = self;
        drop(machine);
        let not_restored = assignment.give_back().err().unwrap_or_default();
        drop(leftovers);
        drop(folder);
        let hint = memlock.explain(&messages);
        Ended {
            status: status.ok(),
            messages,
            hint,
            not_restored,
        }
    }

    /// Returns whether the VMM was told to end.
    fn shut_down(&mut self, data: &Value) -> Result<bool, Error> {
        let by = data
            .get("reason")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if by.starts_with("host-") {
            // The VMM ends by itself: it was told to, or got a signal.
            return Ok(false);
        }
        let action = if by == "guest-reset" {
            self.lifecycle.on_reboot
        } else {
            self.lifecycle.on_poweroff
        };
        match action {
            LifecycleAction::Destroy => self.quit().map(|()| true),
            LifecycleAction::Restart | LifecycleAction::RenameRestart => {
                self.machine.ask(&Command::SystemReset)?;
                self.machine.ask(&Command::Cont).map(|()| false)
            }
            LifecycleAction::Preserve => {
                if !std::mem::replace(&mut self.lifecycle.has_said, true) {
                    tracing::warn!("the guest has powered off; its VMM stays (on_poweroff)");
                }
                Ok(false)
            }
        }
    }
}

impl AsFd for Guest {
    /// Readable once the VMM has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.machine.as_fd()
    }
}

impl Lifecycle {
    pub(crate) fn from_domain(domain: &Domain) -> Self {
        Self {
            on_poweroff: domain.on_poweroff.unwrap_or(LifecycleAction::Destroy),
            on_reboot: domain.on_reboot.unwrap_or(LifecycleAction::Restart),
            has_said: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::machine::tests::machine;
    use passthru_host::{Host, Request};
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    const NIC: &str = "0000:01:00.0";
    /// A VMM that notes at its end whether its device is still claimed and its folder is there.
    const LOOKING: &str = "echo ready >> \"$0\"; cd \"${0%/*}\"
        while ! read -r line; do sleep 0.01; done
        until [ -e lock ]; do sleep 0.01; done
        flock -n lock true && echo free >> notes || echo claimed >> notes
        [ -d run/domain-vm ] && echo folder >> notes || echo none >> notes";

    /// Returns a host with a device on `vfio-pci`.
    fn host(root: &Path) -> Host {
        let dir = root.join("sys/bus/pci/devices").join(NIC);
        fs::create_dir_all(root.join("proc")).unwrap();
        fs::create_dir_all(&dir).unwrap();
        for (file, text) in [
            ("vendor", "0x1b36"),
            ("device", "0x0010"),
            ("class", "0x020000"),
        ] {
            fs::write(dir.join(file), text).unwrap();
        }
        for (link, target) in [
            ("driver", "../../drivers/vfio-pci"),
            ("iommu_group", "../../../../kernel/iommu_groups/1"),
            ("iommu", "../../../../class/iommu/dmar0"),
        ] {
            std::os::unix::fs::symlink(target, dir.join(link)).unwrap();
        }
        let devices = root.join("sys/kernel/iommu_groups/1/devices");
        fs::create_dir_all(&devices).unwrap();
        std::os::unix::fs::symlink(&dir, devices.join(NIC)).unwrap();
        Host::at(root)
    }

    #[test]
    fn panic_at_the_end_ends_the_vmm_before_all_else() {
        let (machine, folder) = machine(LOOKING, true);
        let host = host(folder.path());
        let requests = [Request {
            managed: false,
            ..Request::managed(NIC.parse().unwrap())
        }];
        let assignment = host.assign(&requests, Some("vm"), true).unwrap();
        let lock = folder
            .path()
            .join("run/passthru/devices")
            .join(format!("{NIC}.lock"));
        std::os::unix::fs::symlink(lock, folder.path().join("lock")).unwrap();
        let domain = "<domain type='kvm'><name>vm</name><memory>1024</memory><os><type>hvm</type></os></domain>";
        let domain = Domain::parse(domain).unwrap();
        let guest = Guest {
            name: "vm".into(),
            machine,
            assignment,
            leftovers: Leftovers::default(),
            uid: 0,
            folder: GuestFolder::create(&folder.path().join("run"), "vm", &Host::new()).unwrap(),
            console: None,
            lifecycle: Lifecycle::from_domain(&domain),
            memlock: Memlock::for_domain(&domain, &|_| 0),
        };
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            guest.finish_after(|_| resume_unwind(Box::new(())))
        }));
        assert!(panicked.is_err());
        let notes = fs::read_to_string(folder.path().join("notes")).unwrap();
        assert_eq!(notes, "ready\nclaimed\nfolder\n");
        assert_eq!(host.owner(NIC.parse().unwrap()), None);
        assert!(!folder.path().join("run/domain-vm").exists());
    }
}
