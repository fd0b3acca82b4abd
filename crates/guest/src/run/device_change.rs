//! Attach and detach of devices, on a guest that runs.

use std::collections::BTreeSet;
use std::time::Instant;

use passthru_domain::{DeviceDocument, Note};
use passthru_qemu::monitor::{DeviceEvent, Event};

use super::guest::Guest;
use crate::error::Error;
use crate::plan::attach_plan::{AttachPlan, AttachSettings};
use crate::plan::detach_plan::{DetachPlan, DetachSettings};
use crate::plan::hotplug::remove_devices;
use crate::run::folder::write_domain;
use crate::transaction::{
    HotplugError, Step, Transaction, TransactionEnd, TransactionKind, TransactionPlan,
    TransactionProgress, memlock_limit,
};

impl Guest {
    /// Begins to attach the devices of a document, as a whole or not at all. Does not wait:
    /// [`Guest::handle_events`] goes on, and [`Guest::take_finished`] returns the end. Returns
    /// notes on settings of the devices.
    ///
    /// # Errors
    /// Nothing has changed then.
    ///
    /// - If another change is under way, then [`HotplugError::Busy`].
    /// - If the guest cannot get a device, then [`Error::CommandLine`] or [`Error::Hotplug`].
    /// - If the host does not have a device, then [`Error::Host`].
    pub fn begin_attach(
        &mut self,
        document: DeviceDocument,
        settings: AttachSettings,
    ) -> Result<Vec<Note>, Error> {
        self.check_idle()?;
        let limit = memlock_limit(self.machine.pid())?;
        let world = self.ledger.world();
        let hotplug = &mut self.hotplug;
        let plan = AttachPlan::new(document, settings, &self.domain, hotplug, world, limit)?;
        // An id of a device that QEMU refused must never come again.
        hotplug.use_up_aliases(&plan.domain);
        let detach = DetachSettings::default();
        hotplug.transaction = Some(Transaction::new(TransactionPlan {
            kind: TransactionKind::Attach,
            steps: plan.ops.into_iter().map(Step::Do).collect(),
            aliases: plan.aliases,
            requests: plan.requests,
            domain: Some(Box::new(plan.domain)),
            memlock: plan.memlock,
            time: detach.time,
            force: detach.force,
        }));
        self.advance_transaction();
        Ok(plan.notes)
    }

    /// Begins to detach a device, which is named by its alias or its address on the host. The other
    /// functions in its slot leave too. Does not wait: [`Guest::handle_events`] goes on, and
    /// [`Guest::take_finished`] returns the end.
    ///
    /// # Errors
    /// - If another change is under way, then [`HotplugError::Busy`].
    /// - If the guest has not run yet, then [`HotplugError::NotRun`].
    /// - If the guest does not have the device, or cannot release it, then [`Error::Hotplug`].
    pub fn begin_detach(&mut self, device: &str, settings: DetachSettings) -> Result<(), Error> {
        self.check_idle()?;
        if !self.ledger.has_run() {
            return Err(HotplugError::NotRun.into());
        }
        let plan = DetachPlan::new(device, &self.domain, &self.hotplug, &self.ledger)?;
        let world = self.ledger.world();
        let devices = world.assignment.as_mut();
        world.moving = devices.map(|devices| devices.split_off(&plan.addresses));
        self.hotplug.transaction = Some(Transaction::new(TransactionPlan {
            kind: TransactionKind::Detach,
            steps: plan.steps,
            aliases: plan.aliases,
            requests: Vec::new(),
            domain: None,
            memlock: plan.memlock,
            time: settings.time,
            force: settings.force,
        }));
        self.advance_transaction();
        Ok(())
    }

    /// Returns the state of the change of devices that is under way.
    pub fn transaction_progress(&self) -> Option<TransactionProgress> {
        let transaction = self.hotplug.transaction.as_ref()?;
        Some(transaction.progress(self.machine.pid()))
    }

    /// Has the change of devices that is under way turn round at its next operation. A wait for the
    /// guest ends at once.
    pub fn interrupt_transaction(&mut self) {
        if let Some(transaction) = &mut self.hotplug.transaction {
            transaction.interrupt();
        }
        self.advance_transaction();
    }

    /// Takes the end of a change of devices.
    pub fn take_finished(&mut self) -> Option<TransactionEnd> {
        self.hotplug.finished.take()
    }

    /// Returns the time at which to call [`Guest::handle_events`] for a change of devices.
    pub(super) fn transaction_deadline(&self) -> Option<Instant> {
        let transaction = self.hotplug.transaction.as_ref()?;
        transaction.deadline(Instant::now())
    }

    /// Takes an event of the VMM, if it is about a device.
    pub(super) fn note_device_event(&mut self, event: &Event) {
        let Some(transaction) = &mut self.hotplug.transaction else {
            return;
        };
        match DeviceEvent::read(event) {
            Ok(Some(event)) => transaction.note(event),
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Goes on with the change of devices, without waiting.
    pub(super) fn advance_transaction(&mut self) {
        let Some(transaction) = &mut self.hotplug.transaction else {
            return;
        };
        let end = transaction.advance(&mut self.ledger, &mut self.machine, Instant::now());
        if let Some(end) = end {
            self.commit(&end);
            self.hotplug.finished = Some(end);
        }
    }

    /// Ends a change of devices whose VMM has ended. The end of the guest undoes what is in force.
    pub(super) fn abandon_transaction(&mut self) {
        if let Some(mut transaction) = self.hotplug.transaction.take() {
            transaction.abandon(&mut self.ledger);
        }
    }

    /// Enters the result of a change into the guest's domain.
    fn commit(&mut self, end: &TransactionEnd) {
        let Some(mut transaction) = self.hotplug.transaction.take() else {
            return;
        };
        if let Some(domain) = transaction.take_domain() {
            self.domain = *domain;
        }
        let none = BTreeSet::new();
        let removed = match end.kind {
            TransactionKind::Attach => &none,
            TransactionKind::Detach => transaction.removed(),
        };
        remove_devices(&mut self.domain, removed);
        if let Err(error) = write_domain(self.ledger.folder(), &self.domain) {
            tracing::warn!("cannot keep the guest's domain for a successor: {error}");
        }
        if end.result.is_ok() {
            self.memlock = transaction.memlock().clone();
        }
    }

    fn check_idle(&self) -> Result<(), HotplugError> {
        match self.hotplug.transaction {
            Some(_) => Err(HotplugError::Busy),
            None => Ok(()),
        }
    }
}
