//! The record of a guest, as a start writes it: its user, its devices, its firmware.

use passthru_host::Identity;

use crate::error::Error;
use crate::plan::start_plan::StartPlan;
use crate::start::check::check_sharing;
use crate::start::record::{Error as RecordError, Firmware, GuestRecord, Ids, Records};
use crate::start::user::UserOrigin;

/// Writes a start into the guest's record. The caller holds the guest's lock.
///
/// # Errors
/// - If another guest took the user id since it was chosen, then [`RecordError::UidTaken`].
/// - If another guest has the named user, then [`RecordError::Shared`].
/// - If the wait for the records' lock is interrupted, then [`Error::Interrupted`].
/// - If a record cannot be read or written, then [`Error::Record`].
pub(crate) fn write_record(
    plan: &StartPlan,
    identities: Vec<Identity>,
    interrupted: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let records = plan.records.lock_unless(interrupted)?;
    let former = plan.records.read(&plan.name)?;
    let mut record = former.unwrap_or_else(|| GuestRecord::new(&plan.name));
    enter_user(plan, &mut record)?;
    record.note_devices(identities);
    record.firmware = Firmware::new(&plan.domain, plan.descriptor.clone());
    Ok(records.write(&record)?)
}

/// Restores the record of a guest as it was before a start. `None` removes the record.
///
/// # Errors
/// If the records cannot be locked or written, then the error of that.
pub(crate) fn restore_record(
    records: &Records,
    name: &str,
    former: Option<&GuestRecord>,
) -> Result<(), RecordError> {
    let locked = records.lock()?;
    match former {
        Some(former) => locked.write(former),
        None if records.read(name)?.is_none() => Ok(()),
        None => locked.remove(name),
    }
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

#[cfg(test)]
mod tests;
