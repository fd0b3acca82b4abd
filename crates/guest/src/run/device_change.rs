//! Attach and detach of devices, on a guest that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use passthru_domain::{DeviceDocument, Domain, Note};
use passthru_qemu::monitor::{DeviceEvent, Event};

use super::guest::Guest;
use crate::error::Error;
use crate::op::op::Op;
use crate::plan::attach_plan::{AttachPlan, AttachSettings};
use crate::plan::detach_plan::{DetachPlan, DetachSettings};
use crate::plan::hotplug::remove_devices;
use crate::run::folder::{domain_path, write_domain};
use crate::transaction::{
    HotplugError, Transaction, TransactionEnd, TransactionKind, TransactionPlan,
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
        let hotplug = &mut self.hotplug;
        let ledger = &self.ledger;
        let plan = AttachPlan::new(document, settings, &self.domain, hotplug, ledger, limit)?;
        // An id of a device that QEMU refused must never come again.
        hotplug.use_up_aliases(&plan.domain);
        let detach = DetachSettings::default();
        hotplug.transaction = Some(Transaction::new(TransactionPlan {
            kind: TransactionKind::Attach,
            steps: plan.steps,
            media: plan.media,
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
        self.plan_detach(device, settings)?;
        self.advance_transaction();
        Ok(())
    }

    /// Makes the transaction that detaches a device.
    fn plan_detach(&mut self, device: &str, settings: DetachSettings) -> Result<(), Error> {
        let plan = DetachPlan::new(device, &self.domain, &self.hotplug, &self.ledger)?;
        let world = self.ledger.world();
        let devices = world.assignment.as_mut();
        world.moving = devices.map(|devices| devices.split_off(&plan.addresses));
        self.hotplug.transaction = Some(Transaction::new(TransactionPlan {
            kind: TransactionKind::Detach,
            steps: plan.steps,
            media: BTreeMap::new(),
            aliases: plan.aliases,
            requests: Vec::new(),
            domain: None,
            memlock: plan.memlock,
            time: settings.time,
            force: settings.force,
        }));
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
        let event = match DeviceEvent::read(event) {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!("{error}");
                return;
            }
        };
        if let DeviceEvent::Deleted(name) = &event
            && let Some(alias) = &name.device
            && !self.is_changing(alias)
            && has_alias(&self.domain, alias)
        {
            self.hotplug.gone.insert(alias.clone());
        }

        if let Some(transaction) = &mut self.hotplug.transaction {
            transaction.note(event);
        }
    }

    /// Returns whether the change under way is about a device.
    fn is_changing(&self, alias: &str) -> bool {
        let transaction = self.hotplug.transaction.as_ref();
        transaction.is_some_and(|transaction| transaction.is_about(alias))
    }

    /// Gives back a device that the VMM removed while no change was under way.
    fn take_gone(&mut self) {
        if self.hotplug.transaction.is_some() {
            return;
        }
        let Some(alias) = self.hotplug.gone.pop_first() else {
            return;
        };
        tracing::info!("the guest has released {alias}");
        if let Err(error) = self.plan_detach(&alias, DetachSettings::default()) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "cannot give {alias} back, which the guest has released"
            );
            return;
        }

        self.hotplug.is_late = true;
        if let Some(transaction) = &mut self.hotplug.transaction {
            transaction.note_removed(&alias);
        }
    }

    /// Goes on with the change of devices, without waiting.
    pub(super) fn advance_transaction(&mut self) {
        self.take_gone();
        let Some(transaction) = &mut self.hotplug.transaction else {
            return;
        };
        let end = transaction.advance(&mut self.ledger, &mut self.machine, Instant::now());
        let Some(end) = end else {
            return;
        };
        self.commit(&end);
        if std::mem::take(&mut self.hotplug.is_late) {
            log_late_end(&end);
        } else {
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
        let mut has_changed = false;
        if let Some(domain) = transaction.take_domain() {
            self.domain = *domain;
            self.hotplug.change_media(transaction.take_media());
            has_changed = true;
        }

        let none = BTreeSet::new();
        let removed = match end.kind {
            TransactionKind::Attach => &none,
            TransactionKind::Detach => transaction.removed(),
        };
        remove_devices(&mut self.domain, removed);
        if has_changed || !removed.is_empty() {
            self.rewrite_domain();
        }
        if end.result.is_ok() {
            self.memlock = transaction.memlock().clone();
        }
    }

    /// Writes the domain for the successor of this process.
    fn rewrite_domain(&mut self) {
        let path = domain_path(self.ledger.folder());
        let domain = &self.domain;
        let op = Op::RewriteDomain { path: path.clone() };
        let written = self.ledger.perform(op, |_, world, _| {
            let written = write_domain(world.folder.path(), domain);
            written.map_err(|source| Error::file("domain", &path, source))
        });
        if let Err(error) = written {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the guest's folder keeps the domain of before");
        }
    }

    fn check_idle(&self) -> Result<(), HotplugError> {
        match self.hotplug.transaction {
            Some(_) => Err(HotplugError::Busy),
            None => Ok(()),
        }
    }
}

/// Returns whether a device of a domain has an alias.
fn has_alias(domain: &Domain, alias: &str) -> bool {
    let devices = &domain.devices;
    let mut items = devices.items().into_iter();
    items.any(|item| devices.info(item).is_some_and(|info| info.id() == alias))
}

/// Logs the end of a change for which nobody waits.
fn log_late_end(end: &TransactionEnd) {
    let aliases = end.aliases.join(", ");
    if let Err(error) = &end.result {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, "{aliases} cannot be given back");
    }

    for error in &end.not_restored {
        let error = error as &dyn std::error::Error;
        tracing::error!(error, "a device was not given back");
    }
}
