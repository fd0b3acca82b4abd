//! The end of a guest on request, in stages.
//!
//! | stage | what the VMM got | time limit |
//! |---|---|---|
//! | power-off | `system_powerdown`, which the guest may ignore | chosen by the caller |
//! | quit | `quit` | [`QUIT_TIME`] |
//! | terminate | SIGTERM | [`TERMINATE_TIME`] |
//! | kill | SIGKILL | none |

use std::time::{Duration, Instant};

use super::guest::Guest;
use super::machine::{QUIT_TIME, TERMINATE_TIME};
use crate::error::Error;

/// Stage that the end of a guest has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    PoweringOff,
    Quitting,
    Terminating,
    Killed,
}

/// Message for the user about a request to end the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndingNotice {
    /// The guest was asked to power off, and has this time for it.
    PoweringOff(Duration),
    /// The VMM may be writing the guest's data: the request changes nothing.
    Waiting,
}

/// The end of one guest. The caller waits for events, and calls [`Ending::advance`] for each
/// request of the user and when [`Ending::deadline`] is over.
#[derive(Debug)]
pub struct Ending {
    stage: Stage,
    deadline: Option<Instant>,
    power_off_time: Duration,
}

impl Ending {
    /// Returns the state of a guest that runs. `power_off_time` is the time that the guest has to
    /// power off when it is asked to.
    pub fn new(power_off_time: Duration) -> Self {
        Self {
            stage: Stage::Running,
            deadline: None,
            power_off_time,
        }
    }

    /// Returns the time at which the next stage is due, unless the VMM has ended by then.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns whether the deadline is over.
    pub fn is_due(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Goes one stage further. From the quit stage on, requests change nothing: only the deadline
    /// leads further, since the VMM may be writing the guest's data.
    pub fn advance(&mut self, guest: &mut Guest) -> Option<EndingNotice> {
        match self.stage {
            Stage::Running if guest.power_down().is_ok() => {
                self.enter(Stage::PoweringOff, self.power_off_time);
                return Some(EndingNotice::PoweringOff(self.power_off_time));
            }
            Stage::Running | Stage::PoweringOff => self.quit(guest),
            Stage::Quitting | Stage::Terminating | Stage::Killed if !self.is_due() => {
                return Some(EndingNotice::Waiting);
            }
            Stage::Quitting => self.terminate(guest),
            Stage::Terminating | Stage::Killed => {
                tracing::warn!("the VMM does not end: killing it");
                guest.kill();
                self.enter(Stage::Killed, TERMINATE_TIME);
            }
        }

        None
    }

    /// Returns whether the guest was asked to end, or its VMM ends.
    pub fn is_begun(&self) -> bool {
        self.stage > Stage::Running
    }

    /// Begins the end, unless it has begun: asks the guest to power off. `time`, if it is given, is
    /// the time that the guest has from now on. A guest that was asked before gets no more time.
    pub fn begin(&mut self, guest: &mut Guest, time: Option<Duration>) -> Option<EndingNotice> {
        self.power_off_time = time.unwrap_or(self.power_off_time);
        match (self.stage, time) {
            (Stage::Running, _) => self.advance(guest),
            (Stage::PoweringOff, Some(time)) => {
                let deadline = Instant::now() + time;
                self.deadline = self.deadline.map(|old| old.min(deadline));
                None
            }
            _ => None,
        }
    }

    /// Ends the VMM without asking the guest, unless it ends already.
    pub fn force(&mut self, guest: &mut Guest) {
        if self.stage < Stage::Quitting {
            self.quit(guest);
        }
    }

    fn quit(&mut self, guest: &mut Guest) {
        if guest.quit().is_ok() {
            self.enter(Stage::Quitting, QUIT_TIME);
        } else {
            self.terminate(guest);
        }
    }

    /// Notes that the VMM was told to quit, by [`Guest::handle_events`].
    pub fn note_quit(&mut self) {
        // The VMM can claim as often as it likes that its guest has powered off.
        if self.stage < Stage::Quitting {
            self.enter(Stage::Quitting, QUIT_TIME);
        }
    }

    /// Goes on without the monitor, after [`Guest::handle_events`] failed. A closed monitor means
    /// that the VMM ends. If the monitor is open but cannot be used, this ends the VMM by SIGTERM.
    pub fn lose_monitor(&mut self, guest: &mut Guest, error: &Error) {
        let is_closed = matches!(error, Error::Monitor(cause) if cause.is_closed());
        if !is_closed {
            let cause = std::error::Error::source(error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            tracing::warn!("{error}{cause}; ending the guest");
            self.terminate(guest);
        } else if self.stage < Stage::Quitting {
            self.enter(Stage::Quitting, QUIT_TIME);
        }
    }

    fn enter(&mut self, stage: Stage, time: Duration) {
        self.stage = stage;
        self.deadline = Some(Instant::now() + time);
    }

    fn terminate(&mut self, guest: &mut Guest) {
        if self.stage < Stage::Terminating {
            guest.terminate();
            self.enter(Stage::Terminating, TERMINATE_TIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use passthru_host::Host;

    use super::*;
    use crate::run::guest::tests::guest;
    use crate::run::machine::tests::{DEAF, machine};

    #[test]
    fn requests_lead_to_quit_and_the_deadlines_to_a_kill() {
        let (machine, folder) = machine(DEAF, false);
        let mut guest = guest(machine, &Host::new(), folder.path(), None);
        let time = Duration::from_secs(30);
        let mut ending = Ending::new(time);

        assert_eq!(ending.deadline(), None);

        let notice = ending.advance(&mut guest);
        assert_eq!(notice, Some(EndingNotice::PoweringOff(time)));
        assert_eq!(ending.advance(&mut guest), None);
        assert_eq!(ending.stage, Stage::Quitting);
        // Requests change nothing any more.
        assert_eq!(ending.advance(&mut guest), Some(EndingNotice::Waiting));
        for stage in [Stage::Terminating, Stage::Killed] {
            ending.deadline = Some(Instant::now());
            assert_eq!(ending.advance(&mut guest), None);
            assert_eq!(ending.stage, stage);
        }

        let ended = guest.finish();
        assert!(ended.status.is_some_and(|status| !status.success()));
    }
}
