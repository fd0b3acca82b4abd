//! The entry of a start in the guest's record: its user, its devices, its firmware.

use passthru_host::Identity;

use crate::error::Error;
use crate::plan::start_plan::StartPlan;
use crate::start::check::check_sharing;
use crate::start::record::{Error as RecordError, Firmware, GuestRecord, Ids, Records};
use crate::start::user::UserOrigin;

/// Entry of a start in the guest's record. If the start fails, this restores the former record.
#[derive(Debug)]
#[must_use = "a drop restores the former record"]
pub(crate) struct Registration {
    records: Records,
    name: String,
    /// The former record, until the start has succeeded.
    former: Option<Option<GuestRecord>>,
}

/// Writes a start into the guest's record. The caller holds the guest's lock.
///
/// # Errors
/// - If another guest took the user id since it was chosen, then [`RecordError::UidTaken`].
/// - If another guest has the named user, then [`RecordError::Shared`].
/// - If the wait for the records' lock is interrupted, then [`Error::Interrupted`].
/// - If a record cannot be read or written, then [`Error::Record`].
pub(crate) fn register(
    plan: &StartPlan,
    identities: Vec<Identity>,
    interrupted: &dyn Fn() -> bool,
) -> Result<Registration, Error> {
    let records = plan.records.lock_unless(interrupted)?;
    let former = plan.records.read(&plan.name)?;
    let mut record = former
        .clone()
        .unwrap_or_else(|| GuestRecord::new(&plan.name));
    enter_user(plan, &mut record)?;
    record.note_devices(identities);
    record.firmware = Firmware::new(&plan.domain, plan.descriptor.clone());
    records.write(&record)?;
    drop(records);
    Ok(Registration {
        records: plan.records.clone(),
        name: plan.name.clone(),
        former: Some(former),
    })
}

/// Enters the plan's user into the record, as the guest's own or as the named one.
fn enter_user(plan: &StartPlan, record: &mut GuestRecord) -> Result<(), RecordError> {
    let ids = Ids {
        uid: plan.user.uid(),
        gid: plan.user.gid.as_raw(),
    };
    if plan.user.origin != UserOrigin::Own {
        if !plan.share_user {
            check_sharing(&plan.user, &plan.records.others(&plan.name)?)?;
        }
        record.named = Some(ids);
        return Ok(());
    }

    record.named = None;
    if record.own == Some(ids) {
        return Ok(());
    }
    let mut is_taken = record.own.is_some();
    if !is_taken {
        let others = plan.records.others(&plan.name)?;
        is_taken = others.iter().any(|other| other.has_uid(ids.uid));
    }
    if is_taken {
        return Err(RecordError::UidTaken { uid: ids.uid });
    }

    record.own = Some(ids);
    Ok(())
}

impl Registration {
    /// Keeps the entry: the guest runs.
    pub(crate) fn keep(mut self) {
        self.former = None;
    }

    fn undo(&self, former: Option<&GuestRecord>) -> Result<(), RecordError> {
        let records = self.records.lock()?;
        match former {
            Some(former) => records.write(former),
            None => records.remove(&self.name),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(former) = self.former.take() else {
            return;
        };
        if let Err(error) = self.undo(former.as_ref()) {
            tracing::warn!(
                "cannot restore the record of guest '{}': {error}",
                self.name
            );
        }
    }
}

#[cfg(test)]
mod tests;
