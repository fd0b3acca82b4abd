//! The removal of a device from a running guest.
//!
//! QEMU asks the guest to release the device, and the guest may take long or ignore this. QEMU's
//! events are not trusted: a removal ends only once no process has the device open.

use std::time::{Duration, Instant};

use passthru_pci::Address;
use passthru_qemu::monitor::{Command, Error as QmpError, Ticket};

use super::error::HotplugError;
use super::job::{Job, Work};
use super::news::DeviceNews;
use crate::error::Error;
use crate::op::world::World;
use crate::run::machine::Machine;

/// Time after which the guest is asked again: a guest that boots may lose the first request.
const AGAIN: Duration = Duration::from_secs(5);
/// Time after which a request is repeated that QEMU refused since the guest is busy.
const BUSY: Duration = Duration::from_millis(500);
/// Time for QEMU to remove the device once the guest is reset.
const RESET_TIME: Duration = Duration::from_secs(10);

/// Removal of one device.
#[derive(Debug)]
pub(super) struct Removal {
    alias: String,
    device: Option<Address>,
    begin: Instant,
    deadline: Instant,
    /// Whether the guest may be reset once the time is over.
    may_reset: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The guest is asked at this time.
    Due(Instant),
    /// QEMU has not answered the request yet.
    Asked(Ticket),
    /// QEMU has removed the device. A thread waits until no process has it open.
    Closing(Job),
}

/// Time for the guest to release a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) time: Duration,
    /// Whether the guest is reset once the time is over. QEMU removes the device then.
    pub(super) may_reset: bool,
}

impl Removal {
    pub(super) fn new(
        alias: &str,
        device: Option<Address>,
        patience: Patience,
        now: Instant,
    ) -> Self {
        Self {
            alias: alias.to_owned(),
            device,
            begin: now,
            deadline: now + patience.time,
            may_reset: patience.may_reset,
            stage: Stage::Due(now),
        }
    }

    /// Returns the time at which to advance the removal without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Due(at) => Some(self.deadline.min(*at)),
            Stage::Asked(_) => Some(self.deadline),
            Stage::Closing(_) => None,
        }
    }

    /// Waits for a thread of the removal, and puts the devices back.
    pub(super) fn abandon(self, world: &mut World) {
        if let Stage::Closing(job) = self.stage {
            let _ = job.finish(&mut world.moving);
        }
    }

    /// Drops the answer to the request that is under way: it would take up room in the monitor.
    fn forget_answer(&self, machine: &mut Machine) {
        if let Stage::Asked(ticket) = &self.stage {
            machine.forget_answer(*ticket);
        }
    }

    /// Does what can be done without waiting. Returns the removal while it is not over.
    ///
    /// # Errors
    /// - If the guest refuses or the time is over, then [`HotplugError`].
    /// - If a process has the device open, then [`Error::Host`].
    pub(super) fn advance(
        mut self,
        world: &mut World,
        machine: &mut Machine,
        news: &mut DeviceNews,
        now: Instant,
    ) -> Result<Option<Self>, Error> {
        loop {
            if let Stage::Closing(job) = self.stage {
                if !job.is_over() {
                    self.stage = Stage::Closing(job);
                    return Ok(Some(self));
                }
                let result = job.finish(&mut world.moving);
                return result.unwrap_or_else(|| Err(panicked())).map(|()| None);
            }

            if news.deleted().contains(&self.alias) {
                self.forget_answer(machine);
                let Some(device) = self.device else {
                    return Ok(None);
                };
                self.stage = Stage::Closing(close(device, world)?);
                continue;
            }
            if news.take_refusal(&self.alias) {
                self.forget_answer(machine);
                if !self.may_reset {
                    return Err(HotplugError::UnplugRefused {
                        alias: self.alias,
                        device: self.device,
                    }
                    .into());
                }
                self.end_time(machine, now)?;
            }

            match self.stage {
                Stage::Asked(ticket) => match machine.take_answer(ticket) {
                    Some(answer) => self.take_answer(answer, news, now)?,
                    None if now < self.deadline => return Ok(Some(self)),
                    None => self.end_time(machine, now)?,
                },
                Stage::Due(_) if now >= self.deadline => self.end_time(machine, now)?,
                Stage::Due(at) if now < at => return Ok(Some(self)),
                Stage::Due(_) => {
                    let id = self.alias.clone();
                    let ticket = machine.submit(&Command::DeviceDel { id })?;
                    self.stage = Stage::Asked(ticket);
                }
                Stage::Closing(_) => {}
            }
        }
    }

    /// Takes QEMU's answer to the request. Whether the guest does what it is asked is another
    /// question.
    fn take_answer(
        &mut self,
        answer: Result<serde_json::Value, QmpError>,
        news: &mut DeviceNews,
        now: Instant,
    ) -> Result<(), Error> {
        let wait = match answer {
            Ok(_) => AGAIN,
            Err(QmpError::Command { class, .. }) if class == "DeviceNotFound" => {
                news.delete(&self.alias);
                AGAIN
            }
            Err(QmpError::Command { desc, .. }) if desc.contains("in the process of unplug") => {
                AGAIN
            }
            Err(QmpError::Command { desc, .. }) if desc.contains("guest is busy") => BUSY,
            Err(source @ QmpError::Command { .. }) => {
                let alias = &self.alias;
                let op = format!("ask the guest to release {alias}");
                return Err(HotplugError::Refused { op, source }.into());
            }
            Err(error) => return Err(Error::Monitor(error)),
        };
        self.stage = Stage::Due(now + wait);
        Ok(())
    }

    /// Resets the guest once the time is over, if that is permitted.
    fn end_time(&mut self, machine: &mut Machine, now: Instant) -> Result<(), Error> {
        self.forget_answer(machine);
        if !std::mem::take(&mut self.may_reset) {
            return Err(HotplugError::NotReleased {
                alias: self.alias.clone(),
                device: self.device,
                seconds: now.saturating_duration_since(self.begin).as_secs(),
            }
            .into());
        }

        tracing::warn!(
            "the guest has not released {}: it is reset, so that QEMU removes the device",
            self.alias
        );
        machine.ask(&Command::SystemReset)?;
        self.deadline = now + RESET_TIME;
        self.stage = Stage::Due(now + BUSY);
        Ok(())
    }
}

/// Begins to wait until no process has a device open.
fn close(device: Address, world: &mut World) -> Result<Job, Error> {
    let work: Work = Box::new(move |devices| match devices {
        Some(devices) => Ok(devices.await_closed(device)?),
        None => Ok(()),
    });
    let job = Job::start(&mut world.moving, work);
    Ok(job.map_err(closing_failed)?)
}

fn panicked() -> Error {
    closing_failed(std::io::ErrorKind::Other.into()).into()
}

fn closing_failed(source: std::io::Error) -> HotplugError {
    let op = "wait until no process has the device open".to_owned();
    HotplugError::Thread { op, source }
}
