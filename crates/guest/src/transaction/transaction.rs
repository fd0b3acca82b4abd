//! A transaction: a list of steps, and the step that is under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use passthru_domain::Domain;
use passthru_host::{Error as HostError, Request};
use passthru_pci::Address;
use passthru_qemu::monitor::DeviceEvent;
use serde::Serialize;

use super::begin::Scene;
use super::memlock::pinned_bytes;
use super::news::DeviceNews;
use super::plan::{Step, TransactionPlan};
use super::removal::Patience;
use super::undo::is_needed;
use super::wait::{Turn, Wait};
use crate::error::Error;
use crate::op::ledger::Ledger;
use crate::op::op::Op;
use crate::plan::memlock::Memlock;
use crate::run::machine::Machine;

/// Kind of a change of a running guest's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionKind {
    /// The guest gets devices.
    Attach,
    /// The guest releases devices.
    Detach,
}

/// State of a change that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TransactionProgress {
    /// Kind of the change.
    pub kind: TransactionKind,
    /// Operation that is under way, in words.
    pub operation: String,
    /// Number of the operation, from 1.
    pub at: usize,
    /// Number of all operations.
    pub of: usize,
    /// Whether a failed change is being undone.
    pub is_undone: bool,
    /// Bytes of memory that the VMM has pinned; `None` if they cannot be read.
    pub pinned: Option<u64>,
}

/// The end of a change.
#[derive(Debug)]
pub struct TransactionEnd {
    /// Kind of the change.
    pub kind: TransactionKind,
    /// Aliases of the devices.
    pub aliases: Vec<String>,
    /// Reason if the change failed. A failed attach has been undone.
    pub result: Result<(), Error>,
    /// Errors of the devices that could not be given back. The guest's end tries again.
    pub not_restored: Vec<HostError>,
}

/// A change of a running guest's devices that is under way.
#[derive(Debug)]
pub(crate) struct Transaction {
    kind: TransactionKind,
    aliases: Vec<String>,
    requests: Vec<Request>,
    domain: Option<Box<Domain>>,
    memlock: Memlock,
    media: BTreeMap<String, Option<String>>,
    patience: Patience,
    steps: VecDeque<Step>,
    /// Number of steps that have begun.
    at: usize,
    current: Option<Current>,
    /// Numbers of the operations that this transaction has executed.
    done: Vec<u32>,
    news: DeviceNews,
    /// Devices of the host that a process may have open.
    held: Vec<Address>,
    is_interrupted: bool,
    is_turned: bool,
    failure: Option<Error>,
    not_restored: Vec<HostError>,
}

/// The step that is under way.
#[derive(Debug)]
struct Current {
    number: u32,
    is_undo: bool,
    text: String,
    wait: Wait,
}

impl Transaction {
    pub(crate) fn new(plan: TransactionPlan) -> Self {
        Self {
            kind: plan.kind,
            news: DeviceNews::new(plan.aliases.iter().cloned()),
            aliases: plan.aliases,
            requests: plan.requests,
            domain: plan.domain,
            memlock: plan.memlock,
            media: plan.media,
            patience: Patience {
                time: plan.time,
                may_reset: plan.force,
            },
            steps: plan.steps.into(),
            at: 0,
            current: None,
            done: Vec::new(),
            held: Vec::new(),
            is_interrupted: false,
            is_turned: false,
            failure: None,
            not_restored: Vec::new(),
        }
    }

    /// Takes an event of the VMM.
    pub(crate) fn note(&mut self, event: DeviceEvent) {
        self.news.note(event);
    }

    /// Notes that the VMM no longer has a device.
    pub(crate) fn note_removed(&mut self, alias: &str) {
        self.news.delete(alias);
    }

    /// Returns whether the transaction is about a device.
    pub(crate) fn is_about(&self, alias: &str) -> bool {
        self.aliases.iter().any(|own| own == alias)
    }

    /// Has the transaction turn round at its next step. A wait for the guest ends at once; another
    /// wait goes on.
    pub(crate) fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// Returns the time at which to advance the transaction without an event.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        match &self.current {
            Some(current) => current.wait.deadline(now),
            None => Some(now),
        }
    }

    /// Returns the state of the transaction.
    pub(crate) fn progress(&self, pid: u32) -> TransactionProgress {
        let current = self.current.as_ref();
        TransactionProgress {
            kind: self.kind,
            operation: current.map_or_else(String::new, |current| current.text.clone()),
            at: self.at,
            of: self.at + self.steps.len(),
            is_undone: self.is_turned,
            pinned: pinned_bytes(pid),
        }
    }

    /// Returns the aliases of the devices that the VMM has removed.
    pub(crate) const fn removed(&self) -> &BTreeSet<String> {
        self.news.deleted()
    }

    /// Takes the guest's domain after the change; `None` unless an attach has succeeded.
    pub(crate) fn take_domain(&mut self) -> Option<Box<Domain>> {
        self.domain.take()
    }

    /// Returns the VMM's limit on locked memory once the change has succeeded.
    pub(crate) const fn memlock(&self) -> &Memlock {
        &self.memlock
    }

    /// Takes the block nodes that drives have after the change.
    pub(crate) fn take_media(&mut self) -> BTreeMap<String, Option<String>> {
        std::mem::take(&mut self.media)
    }

    /// Waits for a thread of the transaction. The operations in force stay for the guest's end.
    pub(crate) fn abandon(&mut self, ledger: &mut Ledger) {
        if let Some(current) = self.current.take() {
            current.wait.abandon(ledger.world());
        }
        self.steps.clear();
        ledger.world().settle();
    }

    /// Does what can be done without waiting. Returns the end of the transaction once it is over.
    pub(crate) fn advance(
        &mut self,
        ledger: &mut Ledger,
        machine: &mut Machine,
        now: Instant,
    ) -> Option<TransactionEnd> {
        loop {
            let Some(current) = self.current.take() else {
                self.turn_if_interrupted();
                let Some(step) = self.steps.pop_front() else {
                    return Some(self.end(ledger));
                };
                self.begin(step, ledger, machine, now);
                continue;
            };

            let Current {
                number,
                is_undo,
                text,
                wait,
            } = current;
            if self.is_interrupted && !self.is_turned && matches!(wait, Wait::Removal(_)) {
                wait.abandon(ledger.world());
                self.end_step(number, is_undo, Error::Interrupted, ledger);
                continue;
            }
            match wait.turn(&text, ledger.world(), machine, &mut self.news, now) {
                Turn::Over(Ok(effect)) => {
                    let noted = if is_undo {
                        ledger.finish_undo(number);
                        Ok(())
                    } else {
                        self.done.push(number);
                        ledger.finish(number, effect).map_err(Error::from)
                    };
                    if let Err(error) = noted {
                        self.fail(error);
                    }
                }
                Turn::Over(Err(error)) => self.end_step(number, is_undo, error, ledger),
                Turn::GoesOn(wait) => {
                    self.current = Some(Current {
                        number,
                        is_undo,
                        text,
                        wait,
                    });
                    return None;
                }
            }
        }
    }
}

impl Transaction {
    fn turn_if_interrupted(&mut self) {
        if !self.is_interrupted || self.is_turned || self.steps.is_empty() {
            return;
        }
        // A detach whose device is gone goes on: there is no way back.
        if self.kind == TransactionKind::Attach || self.news.deleted().is_empty() {
            self.fail(Error::Interrupted);
        }
    }

    fn begin(&mut self, step: Step, ledger: &mut Ledger, machine: &mut Machine, now: Instant) {
        self.at += 1;
        let mut scene = Scene {
            ledger,
            machine,
            requests: &self.requests,
            patience: self.patience,
            now,
        };
        match step {
            Step::Do(op) => {
                let text = op.to_string();
                let number = match scene.ledger.begin(op.clone()) {
                    Ok(number) => number,
                    Err(error) => return self.fail(error.into()),
                };
                match scene.begin(&op) {
                    Ok(wait) => self.wait(number, false, text, wait),
                    Err(error) => self.end_step(number, false, error, ledger),
                }
            }
            Step::Undo(number) => {
                let Some(entry) = scene.ledger.entry(number).cloned() else {
                    return;
                };
                if is_needed(&entry.op, scene.ledger.entries(), &self.held) {
                    return;
                }
                let is_gone = match &entry.op {
                    Op::AddDevice { alias, .. } => self.news.deleted().contains(alias),
                    _ => false,
                };
                scene.ledger.begin_undo(number);
                match scene.begin_undo(&entry, is_gone) {
                    Ok(wait) => self.wait(number, true, format!("undo: {}", entry.op), wait),
                    Err(error) => self.end_step(number, true, error, ledger),
                }
            }
        }
    }

    fn wait(&mut self, number: u32, is_undo: bool, text: String, wait: Wait) {
        self.current = Some(Current {
            number,
            is_undo,
            text,
            wait,
        });
    }

    /// Ends a step that failed.
    fn end_step(&mut self, number: u32, is_undo: bool, error: Error, ledger: &mut Ledger) {
        let device = match ledger.entry(number).map(|entry| &entry.op) {
            Some(Op::RemoveDevice { device, .. } | Op::AddDevice { device, .. }) => *device,
            _ => None,
        };
        if is_undo {
            ledger.stick(number, &error.to_string());
            self.held.extend(device);
            self.keep_failure_of_undo(error);
            return;
        }

        ledger.fail(number);
        if self.kind == TransactionKind::Detach {
            self.held.extend(device);
        }
        self.fail(error);
    }

    /// Ends what was to be done after a step that failed, and undoes what was done.
    fn fail(&mut self, error: Error) {
        let is_lost = matches!(&error, Error::Monitor(cause) if cause.is_closed());
        if is_lost {
            // The VMM ends. The guest's end undoes what is in force.
            self.steps.clear();
        } else if self.kind == TransactionKind::Attach && !self.is_turned {
            self.steps = self.done.drain(..).rev().map(Step::Undo).collect();
        } else if self.kind == TransactionKind::Detach && self.news.deleted().is_empty() {
            self.steps.clear();
        }

        self.is_turned |= self.kind == TransactionKind::Attach;
        self.failure.get_or_insert(error);
    }

    fn keep_failure_of_undo(&mut self, error: Error) {
        match error {
            Error::Host(error) => self.not_restored.push(error),
            error => {
                let is_lost = matches!(&error, Error::Monitor(cause) if cause.is_closed());
                if is_lost {
                    self.steps.clear();
                }
                tracing::warn!(error = &error as &dyn std::error::Error, "an undo failed");
                if self.kind == TransactionKind::Detach {
                    self.failure.get_or_insert(error);
                }
            }
        }
    }

    /// Forgets the changes of media: the parts of the former ones are gone.
    fn forget_media(&self, ledger: &mut Ledger) {
        for number in &self.done {
            let entry = ledger.entry(*number);
            if entry.is_some_and(|entry| matches!(entry.op, Op::ChangeMedium { .. })) {
                ledger.finish_undo(*number);
            }
        }
    }

    fn end(&mut self, ledger: &mut Ledger) -> TransactionEnd {
        ledger.world().settle();
        let result = self.failure.take().map_or(Ok(()), Err);
        if result.is_err() {
            self.domain = None;
        } else {
            self.forget_media(ledger);
        }

        TransactionEnd {
            kind: self.kind,
            aliases: std::mem::take(&mut self.aliases),
            result,
            not_restored: std::mem::take(&mut self.not_restored),
        }
    }
}
