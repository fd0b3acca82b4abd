//! The operations that are in force for one guest.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use passthru_host::{Error as HostError, Host, ProcessId};

use super::apply::{Begun, Context, Note, answer_error, apply};
use super::effect::Effect;
use super::observe::{Observed, observe};
use super::op::{Lifetime, Op};
use super::undo::{UndoError, undo};
use super::world::World;
use crate::error::Error;
use crate::journal::{Entry, EntryState, Header, Journal, JournalError, JournalState};
use crate::opener::Opener;
use crate::start::record::Ids;
use crate::start::slow_start::SlowStart;
use crate::start::vfio_folder;

/// The operations in force for one guest, with its journal. A drop undoes them, the last one first.
#[derive(Debug)]
pub(crate) struct Ledger {
    world: World,
    /// The journal, once the guest's folder is made.
    journal: Option<Journal>,
    entries: Vec<Entry>,
    next: u32,
    /// Whether the guest ever ran.
    has_run: bool,
}

impl Ledger {
    /// Returns the ledger of a guest for which nothing has changed yet.
    pub(crate) fn new(world: World) -> Self {
        Self {
            world,
            journal: None,
            entries: Vec::new(),
            next: 1,
            has_run: false,
        }
    }

    /// Returns the ledger of a guest that a former manager has left, with its VMM or without it. A
    /// drop undoes the operations.
    ///
    /// # Errors
    /// If the journal cannot be opened, then its error.
    pub(crate) fn resume(world: World, state: JournalState) -> Result<Self, JournalError> {
        let journal = Journal::open(world.folder.path())?;
        Ok(Self {
            world,
            journal: Some(journal),
            entries: state.entries,
            next: state.next,
            has_run: state.may_have_run,
        })
    }

    /// Notes that this process manages the guest, which runs, from now on.
    ///
    /// # Errors
    /// If the journal cannot be written, then [`JournalError::Write`].
    pub(crate) fn adopt(&mut self, manager: ProcessId) -> Result<(), JournalError> {
        if let Some(journal) = &mut self.journal {
            journal.adopted(manager)?;
        }
        let resumed = self.entries.iter().find(|entry| entry.op == Op::Resume);
        let begun = resumed.filter(|entry| entry.state == EntryState::Begun);
        if let Some(number) = begun.map(|entry| entry.number) {
            self.finish(number, None)?;
        }
        self.has_run = true;
        Ok(())
    }

    /// Leaves all operations in force, for a successor.
    pub(crate) fn leave(&mut self) {
        self.entries.clear();
        self.world.settle();
        if let Some(devices) = self.world.assignment.take() {
            devices.keep();
        }
    }

    /// Returns the world that the operations work on.
    pub(crate) fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// Returns the guest's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.world.folder.path()
    }

    /// Executes operations in their order. Of a run of openings all are tried, so that one error
    /// names all objects that cannot be opened.
    ///
    /// # Errors
    /// - If the caller interrupts, then [`Error::Interrupted`].
    /// - The error of the operation that failed. Those before it stay in force.
    pub(crate) fn run_all(&mut self, ops: Vec<Op>, context: &Context<'_>) -> Result<(), Error> {
        let mut errors = Vec::new();
        for op in ops {
            if (context.interrupted)() {
                return Err(Error::Interrupted);
            }
            let opens = op.opens();
            if !opens {
                Error::check_none(std::mem::take(&mut errors))?;
            }
            match self.run(op, context) {
                Err(error) if opens && !matches!(error, Error::Interrupted) => errors.push(error),
                done => done?,
            }
        }

        Error::check_none(errors)
    }

    fn run(&mut self, op: Op, context: &Context<'_>) -> Result<(), Error> {
        self.perform(op, |op, world, note| {
            let tickets = match apply(op, world, context, note)? {
                Begun::Done => return Ok(()),
                Begun::Waits(tickets) => tickets,
            };
            let slow_start = SlowStart::new(&context.plan.nvme);
            for ticket in tickets {
                let Some(machine) = &mut world.machine else {
                    break;
                };
                let answer = machine.wait(ticket, &|| {
                    slow_start.warn_if_late();
                    (context.interrupted)()
                });
                answer.map_err(|error| answer_error(op, error))?;
            }
            Ok(())
        })
    }

    /// Executes one operation by a function, between the lines of the journal.
    ///
    /// # Errors
    /// - The error of the function. The operation is not in force then.
    /// - If the journal cannot be written, then [`Error::Journal`].
    pub(crate) fn perform(
        &mut self,
        op: Op,
        act: impl FnOnce(&Op, &mut World, &mut Note<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let number = self.next;
        self.next += 1;
        let Self { world, journal, .. } = self;
        if let Some(journal) = journal {
            journal.begin(number, &op)?;
        }

        let mut effect = None;
        let acted = act(&op, world, &mut |made| {
            if let Some(journal) = journal {
                journal.effect(number, &made)?;
            }
            effect = Some(made);
            Ok(())
        });
        if let Err(error) = acted {
            self.note(|journal| journal.failed(number));
            return Err(error);
        }

        self.has_run |= op == Op::Resume;
        let begins = matches!(op, Op::MakeGuestFolder { .. });
        if !op.is_final() {
            self.entries.push(Entry {
                number,
                op,
                effect,
                state: EntryState::Done,
            });
        }

        if begins {
            self.begin_journal()?;
        }
        match &mut self.journal {
            Some(journal) => Ok(journal.done(number)?),
            None => Ok(()),
        }
    }

    /// Begins the journal in the guest's folder, which was just made.
    fn begin_journal(&mut self) -> Result<(), JournalError> {
        let world = &self.world;
        let path = Journal::path_in(world.folder.path());
        let manager = world.host.process(std::process::id());
        let manager = manager.ok_or_else(|| JournalError::Write {
            path,
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let user = Ids {
            uid: world.user.uid(),
            gid: world.user.gid.as_raw(),
        };
        let header = Header::new(world.name(), manager, user);
        let mut journal = Journal::create(world.folder.path(), &header)?;
        for entry in &self.entries {
            journal.begin(entry.number, &entry.op)?;
        }
        self.journal = Some(journal);
        Ok(())
    }

    /// Returns the host.
    pub(crate) const fn host(&self) -> &Host {
        &self.world.host
    }

    /// Returns the opener of the guest's user.
    pub(crate) fn opener(&self) -> Opener<'_> {
        self.world.opener()
    }

    /// Returns the VMM's own `/dev/vfio`; `None` if the VMM has none.
    pub(crate) fn vfio_folder(&self) -> io::Result<Option<OwnedFd>> {
        vfio_folder::find(&self.world)
    }

    /// Returns the operations that may be in force, in their order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns an operation that may be in force.
    pub(crate) fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// Returns whether the guest ever ran.
    pub(crate) const fn has_run(&self) -> bool {
        self.has_run
    }

    /// Notes that an operation begins. Returns its number.
    ///
    /// # Errors
    /// If the journal cannot be written. The operation must not begin then.
    pub(crate) fn begin(&mut self, op: Op) -> Result<u32, JournalError> {
        let number = self.next;
        self.next += 1;
        if let Some(journal) = &mut self.journal {
            journal.begin(number, &op)?;
        }
        self.entries.push(Entry {
            number,
            op,
            effect: None,
            state: EntryState::Begun,
        });
        Ok(number)
    }

    /// Notes that an operation that was begun is done.
    ///
    /// # Errors
    /// If the journal cannot be written. The operation is in force.
    pub(crate) fn finish(
        &mut self,
        number: u32,
        effect: Option<Effect>,
    ) -> Result<(), JournalError> {
        let entry = self.entries.iter_mut().find(|e| e.number == number);
        let Some(entry) = entry else { return Ok(()) };
        entry.state = EntryState::Done;
        entry.effect.clone_from(&effect);
        if entry.op.is_final() {
            self.entries.retain(|entry| entry.number != number);
        }
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        if let Some(effect) = &effect {
            journal.effect(number, effect)?;
        }
        journal.done(number)
    }

    /// Notes that an operation that was begun has failed, and changed nothing.
    pub(crate) fn fail(&mut self, number: u32) {
        self.entries.retain(|entry| entry.number != number);
        self.note(|journal| journal.failed(number));
    }

    /// Notes that the undo of an operation begins.
    pub(crate) fn begin_undo(&mut self, number: u32) {
        self.set_state(number, EntryState::Undoing);
        self.note(|journal| journal.undo(number));
    }

    /// Notes that an operation is no longer in force.
    pub(crate) fn finish_undo(&mut self, number: u32) {
        self.entries.retain(|entry| entry.number != number);
        self.note(|journal| journal.undone(number));
    }

    /// Notes that the undo of an operation failed. The end of the guest tries again.
    pub(crate) fn stick(&mut self, number: u32, reason: &str) {
        self.note(|journal| journal.stuck(number, reason));
    }

    fn set_state(&mut self, number: u32, state: EntryState) {
        for entry in &mut self.entries {
            if entry.number == number {
                entry.state = state;
            }
        }
    }

    /// Writes a line that nothing depends on: an undo can be repeated.
    fn note(&mut self, write: impl FnOnce(&mut Journal) -> Result<(), JournalError>) {
        if let Some(journal) = &mut self.journal
            && let Err(error) = write(journal)
        {
            tracing::debug!("{error}");
        }
    }

    /// Undoes all operations, the last one first. Returns the errors of the devices that could not
    /// be given back. Other failures are logged.
    pub(crate) fn undo_all(&mut self) -> Vec<HostError> {
        self.world.settle();
        // The VMM ends first. The records name it as long as it has the devices.
        self.world.machine = None;
        let mut errors = Vec::new();
        while let Some(entry) = self.entries.pop() {
            errors.extend(self.undo(&entry));
        }
        errors
    }

    /// Undoes what is still in force of the operations of a dead guest, the last one first. Leaves
    /// those for which `keep` returns true.
    ///
    /// Returns the errors of the devices that could not be given back, and whether all is undone.
    /// If not, the guest's folder stays.
    pub(crate) fn undo_remains(&mut self, keep: impl Fn(&Op) -> bool) -> (Vec<HostError>, bool) {
        let mut errors = Vec::new();
        let mut is_whole = true;
        while let Some(entry) = self.entries.pop() {
            // The folder has the journal, by which a later recovery tries again.
            let has_journal = matches!(entry.op, Op::MakeGuestFolder { .. });
            if keep(&entry.op) || (has_journal && !is_whole) {
                continue;
            }
            match observe(&entry.op, entry.effect.as_ref(), &self.world) {
                Observed::NotApplied => {}
                Observed::Applied => {
                    let error = self.undo(&entry);
                    is_whole &= error.is_none();
                    errors.extend(error);
                }
                Observed::Unknown(reason) => {
                    is_whole = false;
                    tracing::warn!("cannot tell whether to undo '{}': {reason}", entry.op);
                }
            }
        }

        (errors, is_whole)
    }

    /// Undoes an operation. Returns the error of a device that could not be given back.
    fn undo(&mut self, entry: &Entry) -> Option<HostError> {
        let is_noted = matches!(entry.op.lifetime(), Lifetime::Guest | Lifetime::Started);
        if matches!(entry.op, Op::MakeGuestFolder { .. }) {
            self.journal = None;
        }
        if is_noted {
            self.note(|journal| journal.undo(entry.number));
        }
        let undone = undo(
            &entry.op,
            entry.effect.as_ref(),
            &mut self.world,
            self.has_run,
        );
        let Err(error) = undone else {
            if is_noted {
                self.note(|journal| journal.undone(entry.number));
            }
            return None;
        };

        self.note(|journal| journal.stuck(entry.number, &error.to_string()));
        match error {
            UndoError::Device(error) => Some(error),
            other => {
                tracing::warn!("{other}");
                None
            }
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        for error in self.undo_all() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a device was not given back"
            );
        }
    }
}

impl Op {
    /// Returns whether the operation opens an object for the VMM.
    const fn opens(&self) -> bool {
        matches!(
            self,
            Self::Open { .. } | Self::Take { .. } | Self::Copy { .. } | Self::Listen { .. }
        )
    }
}
