//! What an operation of a transaction waits for.

use std::time::{Duration, Instant};

use passthru_qemu::monitor::{AddedFd, Answer, Error as QmpError, Ticket};
use serde_json::Value;

use super::error::HotplugError;
use super::job::Job;
use super::medium::MediumChange;
use super::news::DeviceNews;
use super::removal::Removal;
use crate::error::Error;
use crate::op::effect::Effect;
use crate::op::world::World;
use crate::run::machine::Machine;

/// Interval in which the end of a thread is looked for.
const INTERVAL: Duration = Duration::from_millis(10);

/// State of an operation that has begun.
#[derive(Debug)]
pub(super) enum Wait {
    /// The operation is done.
    Nothing,
    /// The operation is done once the VMM has answered.
    Answer(Ticket),
    /// The operation is done once the VMM has named the descriptor that it got.
    Number(Ticket),
    /// The operation is done once a thread has ended.
    Job(Job),
    /// The operation is done once a device is gone.
    Removal(Removal),
    /// The operation is done once a drive has another medium.
    Medium(MediumChange),
}

/// Result of an operation, or its wait that goes on.
pub(super) enum Turn {
    Over(Result<Option<Effect>, Error>),
    GoesOn(Wait),
}

impl Wait {
    /// Returns the time at which to look again without an event.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Nothing => Some(now),
            // The monitor has the time limits of answers.
            Self::Answer(_) | Self::Number(_) => None,
            Self::Job(_) => Some(now + INTERVAL),
            Self::Removal(removal) => removal.deadline().or(Some(now + INTERVAL)),
            Self::Medium(change) => change.deadline(),
        }
    }

    /// Looks whether the operation is done. `op` is its text.
    pub(super) fn turn(
        self,
        op: &str,
        world: &mut World,
        machine: &mut Machine,
        news: &mut DeviceNews,
        now: Instant,
    ) -> Turn {
        match self {
            Self::Nothing => Turn::Over(Ok(None)),
            Self::Answer(ticket) => match machine.take_answer(ticket) {
                Some(answer) => Turn::Over(answered(op, answer).map(|_| None)),
                None => Turn::GoesOn(self),
            },
            Self::Number(ticket) => match machine.take_answer(ticket) {
                Some(answer) => Turn::Over(answered(op, answer).and_then(number)),
                None => Turn::GoesOn(self),
            },
            Self::Job(job) if !job.is_over() => Turn::GoesOn(Self::Job(job)),
            Self::Job(job) => {
                let result = job.finish(&mut world.moving).unwrap_or_else(|| {
                    let source = std::io::ErrorKind::Other.into();
                    let op = op.to_owned();
                    Err(HotplugError::Thread { op, source }.into())
                });
                Turn::Over(result.map(|()| None))
            }
            Self::Removal(removal) => match removal.advance(world, machine, news, now) {
                Ok(Some(removal)) => Turn::GoesOn(Self::Removal(removal)),
                Ok(None) => Turn::Over(Ok(None)),
                Err(error) => Turn::Over(Err(error)),
            },
            Self::Medium(change) => match change.advance(machine, now) {
                Ok(Some(change)) => Turn::GoesOn(Self::Medium(change)),
                Ok(None) => Turn::Over(Ok(None)),
                Err(error) => Turn::Over(Err(error)),
            },
        }
    }

    /// Waits for a thread of the operation, and puts the devices back.
    pub(super) fn abandon(self, world: &mut World) {
        match self {
            Self::Job(job) => {
                let _ = job.finish(&mut world.moving);
            }
            Self::Removal(removal) => removal.abandon(world),
            Self::Nothing | Self::Answer(_) | Self::Number(_) | Self::Medium(_) => {}
        }
    }
}

/// Names the operation in a refusal of the VMM.
fn answered(op: &str, answer: Result<Value, QmpError>) -> Result<Value, Error> {
    answer.map_err(|source| match source {
        QmpError::Command { .. } => {
            let op = op.to_owned();
            HotplugError::Refused { op, source }.into()
        }
        other => Error::Monitor(other),
    })
}

/// Reads the number of a descriptor in the VMM.
fn number(answer: Value) -> Result<Option<Effect>, Error> {
    let added = AddedFd::read(answer).map_err(Error::Monitor)?;
    Ok(Some(Effect::Descriptor(added.fd)))
}
