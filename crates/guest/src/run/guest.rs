//! A guest that runs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, ExitStatus};
use std::time::Instant;

use passthru_domain::Domain;
use passthru_domain::lifecycle::LifecycleAction;
use passthru_qemu::monitor::{Command, Error as MonitorError, Event, Ticket};
use serde_json::Value;

use crate::error::Error;
use crate::op::ledger::Ledger;
use crate::op::op::Op;
use crate::plan::hotplug::Hotplug;
use crate::plan::memlock::Memlock;
use crate::run::machine::Machine;

/// Number of events to handle in one call, so that the caller gets its turn.
const MAX_EVENTS: usize = 64;

/// A guest with its VMM. A drop tells the VMM to quit and waits for its end. If the VMM does not
/// end within a minute, the drop kills it. Then the drop gives the devices back.
#[derive(Debug)]
pub struct Guest {
    // Rust drops the fields in this order. The VMM, which has the devices open, comes before the
    // operations, whose undo gives the devices back.
    /// The complete domain, without passwords.
    pub(crate) domain: Domain,
    pub(crate) machine: Machine,
    pub(crate) hotplug: Hotplug,
    pub(crate) ledger: Ledger,
    pub(crate) uid: u32,
    pub(crate) console: Option<PathBuf>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) memlock: Memlock,
}

/// Actions at events of the guest's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifecycle {
    on_poweroff: LifecycleAction,
    on_reboot: LifecycleAction,
    /// Whether the next power-off starts the guest again.
    restarts: bool,
    /// Whether the guest powered off while it had no manager, so that no event tells it.
    has_missed_end: bool,
    /// Whether the guest has powered off, and its VMM stays.
    is_off: bool,
    /// Whether the log already has the message that the VMM stays.
    has_warned: bool,
}

/// The end of a guest.
#[derive(Debug)]
pub struct Ended {
    /// Exit status of the VMM, if it is known.
    pub status: Option<ExitStatus>,
    /// Last lines that the VMM wrote to standard error.
    pub messages: String,
    /// Action that may help, if the VMM ended for a known reason.
    pub hint: Option<String>,
    /// Errors of the devices that could not be given back.
    pub not_restored: Vec<passthru_host::Error>,
}

impl Guest {
    /// Returns the guest's name.
    pub fn name(&self) -> &str {
        self.domain.name.as_deref().unwrap_or_default()
    }

    /// Returns the guest's folder, which only its user can enter.
    pub fn folder(&self) -> &Path {
        self.ledger.folder()
    }

    /// Returns the guest's control socket. Later calls return `None`.
    pub fn take_control(&mut self) -> Option<UnixListener> {
        self.ledger.world().control.take()
    }

    /// Returns the complete domain, without the passwords of its screens.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Returns the number of the VMM's process.
    pub fn pid(&self) -> u32 {
        self.machine.pid()
    }

    /// Returns the number of the user that the VMM runs as.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Returns the path of the guest's console: the pseudo terminal of its first serial port or
    /// console that has one.
    pub fn console(&self) -> Option<&Path> {
        self.console.as_deref()
    }

    /// Returns the monitor's descriptor. If it is readable, call [`Guest::handle_events`].
    pub fn monitor_fd(&self) -> BorrowedFd<'_> {
        self.machine.monitor().as_fd()
    }

    /// Returns whether to call [`Guest::handle_events`] when the monitor's descriptor is writable.
    pub fn wants_to_send(&self) -> bool {
        self.machine.monitor().wants_to_send()
    }

    /// Returns the time at which to call [`Guest::handle_events`] without an event. It is the time
    /// limit of an answer, or the next look at a change of devices.
    pub fn deadline(&self) -> Option<Instant> {
        let answer = self.machine.monitor().deadline();
        let change = self.transaction_deadline();
        answer.into_iter().chain(change).min()
    }

    /// Returns the VMM's standard output, if it is a pipe. Later calls return `None`.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.machine.vmm().take_stdout()
    }

    /// Lets the guest run (`cont`), which waits after its start. Calls `interrupted` while it waits
    /// for the VMM's answer.
    ///
    /// # Errors
    /// - If the VMM refuses or does not answer in time, then [`Error::Monitor`].
    /// - If `interrupted` returns true, then [`Error::Interrupted`].
    pub fn resume(&mut self, interrupted: &dyn Fn() -> bool) -> Result<(), Error> {
        let machine = &mut self.machine;
        self.ledger
            .perform(Op::Resume, |_, _, _| machine.resume(interrupted))
    }

    /// Keeps the VMM's messages in its log alone, from now on.
    pub fn hide_messages(&mut self) {
        if let Some(log) = self.machine.vmm().log_mut() {
            log.hide();
        }
    }

    /// Asks the guest to power off, as its power button does (`system_powerdown`). Does not wait:
    /// the guest may take long, or ignore this. From now on a power-off or reboot ends the VMM,
    /// whatever `<on_poweroff>` and `<on_reboot>` say.
    ///
    /// # Errors
    /// If the monitor cannot be used, then [`Error::Monitor`].
    pub fn power_down(&mut self) -> Result<(), Error> {
        self.lifecycle.on_poweroff = LifecycleAction::Destroy;
        self.lifecycle.on_reboot = LifecycleAction::Destroy;
        self.lifecycle.restarts = false;
        self.press_power_button()
    }

    /// Presses the power button. A guest that is paused goes on first, to see the button.
    fn press_power_button(&mut self) -> Result<(), Error> {
        if !self.lifecycle.is_off {
            self.machine.ask(&Command::Cont)?;
        }
        self.machine.ask(&Command::SystemPowerdown)
    }

    fn start_again(&mut self) -> Result<(), Error> {
        self.lifecycle.is_off = false;
        self.machine.ask(&Command::SystemReset)?;
        self.machine.ask(&Command::Cont)
    }

    /// Asks the guest to power off, as [`Guest::power_down`] does, and starts it again then. Starts
    /// a guest that has powered off at once. Does not wait: the guest may ignore this.
    ///
    /// # Errors
    /// If the monitor cannot be used, then [`Error::Monitor`].
    pub fn reboot(&mut self) -> Result<(), Error> {
        if self.lifecycle.is_off {
            return self.start_again();
        }
        self.lifecycle.restarts = true;
        self.press_power_button()
    }

    /// Queues a command of QEMU's monitor. [`Guest::take_answer`] returns its answer, once
    /// [`Guest::handle_events`] has read it.
    ///
    /// # Errors
    /// If the monitor cannot be used, then [`Error::Monitor`].
    pub fn submit(&mut self, command: &Command) -> Result<Ticket, Error> {
        self.machine.submit(command)
    }

    /// Takes the answer to a command, if it has come. If the monitor cannot be used any more, then
    /// the answer is its error.
    pub fn take_answer(&mut self, ticket: Ticket) -> Option<Result<Value, MonitorError>> {
        self.machine.take_answer(ticket)
    }

    /// Tells the VMM to end now (`quit`), and does not wait. For the guest this is a power cut.
    /// Data that the guest wrote to its disks gets into the images.
    ///
    /// # Errors
    /// If the monitor cannot be used, then [`Error::Monitor`].
    pub fn quit(&mut self) -> Result<(), Error> {
        self.machine.ask(&Command::Quit)
    }

    /// Sends SIGTERM to the VMM, which has the effect of [`Guest::quit`] without the monitor.
    pub fn terminate(&mut self) {
        self.machine.vmm().terminate();
    }

    /// Kills the VMM. Data that it has not written to the images is lost.
    pub fn kill(&mut self) {
        self.machine.vmm().kill();
    }

    /// Returns whether to call [`Guest::handle_events`] now: events are buffered, and so do not
    /// make the monitor's descriptor readable.
    pub fn has_events(&self) -> bool {
        self.machine.monitor().has_buffered() || self.lifecycle.has_missed_end
    }

    /// Drops the answer to a command, now or when it comes.
    pub fn forget_answer(&mut self, ticket: Ticket) {
        self.machine.forget_answer(ticket);
    }

    /// Sends and reads without waiting, and handles up to 64 events, which `watch` sees too. At a
    /// power-off or reboot of the guest, does what `<on_poweroff>` or `<on_reboot>` says. Returns
    /// whether it told the VMM to end.
    ///
    /// # Errors
    /// If the monitor is closed or cannot be used, then [`Error::Monitor`].
    pub fn handle_events(&mut self, watch: &mut dyn FnMut(&Event)) -> Result<bool, Error> {
        let advanced = self.machine.advance();
        let has_missed_end = std::mem::take(&mut self.lifecycle.has_missed_end);
        if has_missed_end && self.shut_down(&Value::Null)? {
            return Ok(true);
        }
        for _ in 0..MAX_EVENTS {
            let Some(event) = self.machine.take_event() else {
                break;
            };
            tracing::debug!(name = event.name, "event");
            watch(&event);
            self.note_device_event(&event);
            if event.name == "RESET" {
                // A guest that resets itself has rebooted: its next power-off is its own.
                self.lifecycle.restarts = false;
            }
            if event.name == "SHUTDOWN" && self.shut_down(&event.data)? {
                return Ok(true);
            }
        }

        self.advance_transaction();
        advanced.map(|()| false).map_err(Error::Monitor)
    }

    /// Ends the VMM as a drop does, and gives the devices back.
    pub fn end(mut self) -> Ended {
        self.machine.end();
        self.finish()
    }

    /// Waits until the VMM has ended, and gives the devices back.
    pub fn finish(self) -> Ended {
        self.finish_after(Machine::finish)
    }

    /// Gives the devices back after `wait`, which waits until the VMM has ended.
    fn finish_after(mut self, wait: fn(&mut Machine) -> (io::Result<ExitStatus>, String)) -> Ended {
        // If this panics, Rust drops the fields in their order: the VMM first.
        let (status, messages) = wait(&mut self.machine);
        // If a later line panics, Rust drops the last name first: the VMM.
        self.abandon_transaction();
        let Self {
            memlock,
            mut ledger,
            machine,
            ..
        } = self;
        drop(machine);
        let not_restored = ledger.undo_all();
        let hint = memlock.explain(&messages);
        Ended {
            status: status.ok(),
            messages,
            hint,
            not_restored,
        }
    }

    /// Handles a `SHUTDOWN` event. Returns whether it told the VMM to end.
    fn shut_down(&mut self, data: &Value) -> Result<bool, Error> {
        let by = data
            .get("reason")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if by.starts_with("host-") {
            // The VMM ends: it was told to quit or got a signal.
            return Ok(false);
        }

        let action = if by == "guest-reset" {
            self.lifecycle.on_reboot
        } else if std::mem::take(&mut self.lifecycle.restarts) {
            LifecycleAction::Restart
        } else {
            self.lifecycle.on_poweroff
        };
        match action {
            LifecycleAction::Destroy => self.quit().map(|()| true),
            LifecycleAction::Restart | LifecycleAction::RenameRestart => {
                self.start_again().map(|()| false)
            }
            LifecycleAction::Preserve => {
                self.lifecycle.is_off = true;
                if !std::mem::replace(&mut self.lifecycle.has_warned, true) {
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
    /// Notes that the guest powered off or rebooted while it had no manager. Which of the two is
    /// not known, so its VMM stays if either of the actions says so.
    pub(crate) fn note_missed_end(&mut self) {
        self.has_missed_end = true;
        if self.on_reboot == LifecycleAction::Preserve {
            self.on_poweroff = LifecycleAction::Preserve;
        }
    }

    pub(crate) fn from_domain(domain: &Domain) -> Self {
        Self {
            on_poweroff: domain.on_poweroff.unwrap_or(LifecycleAction::Destroy),
            on_reboot: domain.on_reboot.unwrap_or(LifecycleAction::Restart),
            restarts: false,
            has_missed_end: false,
            is_off: false,
            has_warned: false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
