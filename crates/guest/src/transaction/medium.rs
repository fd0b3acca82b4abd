//! The change of a drive's medium: the tray is opened, and closed with the other medium.

use std::time::{Duration, Instant};

use passthru_qemu::monitor::{Command, Error as QmpError, Ticket};

use super::error::HotplugError;
use super::removal::Patience;
use crate::error::Error;
use crate::run::machine::Machine;

/// Time after which the guest is asked again to open a locked tray.
const AGAIN: Duration = Duration::from_secs(1);

/// Change of the medium of one drive.
#[derive(Debug)]
pub(super) struct MediumChange {
    drive: String,
    /// Block nodes of the media before and after; `None` for an empty drive.
    from: Option<String>,
    to: Option<String>,
    begin: Instant,
    deadline: Instant,
    /// Whether a locked tray is opened without the guest.
    force: bool,
    stage: Stage,
    failure: Option<Error>,
}

#[derive(Debug)]
enum Stage {
    /// The tray is opened at this time.
    Due(Instant),
    Opening(Ticket),
    Removing(Ticket),
    Inserting(Ticket),
    Closing(Ticket),
}

impl MediumChange {
    /// Begins the change from one medium to another.
    pub(super) fn new(
        drive: &str,
        from: Option<&str>,
        to: Option<&str>,
        patience: Patience,
        now: Instant,
    ) -> Self {
        Self {
            drive: drive.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            begin: now,
            deadline: now + patience.time,
            force: patience.may_reset,
            stage: Stage::Due(now),
            failure: None,
        }
    }

    /// Returns the time at which to advance the change without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Due(at) => Some(at),
            _ => None,
        }
    }

    /// Does what can be done without waiting. Returns the change while it is not over.
    ///
    /// # Errors
    /// If the guest keeps the tray locked, or QEMU refuses the medium. The drive has its former
    /// medium then.
    pub(super) fn advance(
        mut self,
        machine: &mut Machine,
        now: Instant,
    ) -> Result<Option<Self>, Error> {
        loop {
            let ticket = match self.stage {
                Stage::Due(at) if now < at => return Ok(Some(self)),
                Stage::Due(_) => {
                    let command = Command::BlockdevOpenTray {
                        id: self.drive.clone(),
                        force: self.force,
                    };
                    self.stage = Stage::Opening(machine.submit(&command)?);
                    continue;
                }
                Stage::Opening(ticket)
                | Stage::Removing(ticket)
                | Stage::Inserting(ticket)
                | Stage::Closing(ticket) => ticket,
            };
            let Some(answer) = machine.take_answer(ticket) else {
                return Ok(Some(self));
            };
            let id = self.drive.clone();
            match (&self.stage, answer) {
                (Stage::Opening(_), Err(QmpError::Command { desc, .. }))
                    if desc.contains("locked") =>
                {
                    self.await_tray(now)?;
                }
                (Stage::Opening(_), Ok(_)) => {
                    let command = Command::BlockdevRemoveMedium { id };
                    self.stage = Stage::Removing(machine.submit(&command)?);
                }
                (Stage::Removing(_), Ok(_)) => self.insert(machine)?,
                (Stage::Inserting(_), Err(source @ QmpError::Command { .. }))
                    if self.failure.is_none() =>
                {
                    self.failure = Some(self.refused(source));
                    self.to = self.from.take();
                    self.insert(machine)?;
                }
                (Stage::Inserting(_), Ok(_)) => {
                    let command = Command::BlockdevCloseTray { id };
                    self.stage = Stage::Closing(machine.submit(&command)?);
                }
                (Stage::Closing(_) | Stage::Due(_), Ok(_)) => {
                    return match self.failure {
                        Some(error) => Err(error),
                        None => Ok(None),
                    };
                }
                (_, Err(source @ QmpError::Command { .. })) => return Err(self.refused(source)),
                (_, Err(error)) => return Err(Error::Monitor(error)),
            }
        }
    }

    /// Waits for the guest to open its locked tray.
    fn await_tray(&mut self, now: Instant) -> Result<(), HotplugError> {
        if now < self.deadline {
            self.stage = Stage::Due(now + AGAIN);
            return Ok(());
        }

        Err(HotplugError::TrayLocked {
            drive: self.drive.clone(),
            seconds: now.saturating_duration_since(self.begin).as_secs(),
        })
    }

    /// Puts the new medium in, or closes the tray of a drive that stays empty.
    fn insert(&mut self, machine: &mut Machine) -> Result<(), Error> {
        let id = self.drive.clone();
        self.stage = match self.to.clone() {
            Some(node_name) => {
                let command = Command::BlockdevInsertMedium { id, node_name };
                Stage::Inserting(machine.submit(&command)?)
            }
            None => {
                let command = Command::BlockdevCloseTray { id };
                Stage::Closing(machine.submit(&command)?)
            }
        };
        Ok(())
    }

    fn refused(&self, source: QmpError) -> Error {
        let op = format!("change the medium of {}", self.drive);
        HotplugError::Refused { op, source }.into()
    }
}
