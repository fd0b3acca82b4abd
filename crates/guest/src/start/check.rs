//! Checks of a plan against the host, by which a start is refused before anything changes.

use passthru_host::{Comparison, Host, Identity};
use passthru_pci::Address;

use crate::error::Error;
use crate::opener::Opener;
use crate::plan::nvme::check_groups;
use crate::plan::start_plan::StartPlan;
use crate::run::folder::{find_survivor, folder_path};
use crate::start::last_firmware::foreign_variables_note;
use crate::start::nvram;
use crate::start::record::{Error as RecordError, GuestRecord, is_possible};
use crate::start::user::{User, UserOrigin};

/// Checks whether the host permits the start now, and changes nothing.
///
/// # Errors
/// - If a VMM of an earlier start may live, then [`Error::Folder`].
/// - If another guest has the named user, then [`Error::Record`].
/// - If a device is not the one that the guest had at its address, then [`Error::NewDevice`].
/// - If a device cannot be assigned, then [`Error::Host`].
/// - If an NVMe disk shares its IOMMU group with another device, then [`Error::SharedGroup`].
pub fn check(plan: &StartPlan, host: &Host) -> Result<(), Error> {
    let folder = folder_path(&plan.run_dir, &plan.name);
    if let Some(error) = find_survivor(&folder, &plan.name, host)? {
        return Err(error.into());
    }
    check_host(plan, host)
}

/// Checks the plan's user and devices, as [`check`] does. The caller knows that no VMM of an
/// earlier start lives.
pub(crate) fn check_host(plan: &StartPlan, host: &Host) -> Result<(), Error> {
    check_user(plan)?;
    check_identities(plan, host)?;
    if !plan.nvme.is_empty() {
        host.check_type1()?;
    }
    let objections = host.check(&plan.requests)?;
    match passthru_host::Error::several(objections) {
        Some(error) => Err(error.into()),
        None => check_groups(&plan.domain, host),
    }
}

/// Lists notes on a start that is not refused.
///
/// - A note names a device that may not be the one of the last start. In that case the host has
///   others of the same kind, and no serial number tells them apart.
/// - A note names firmware variables that other firmware may have made.
///
/// # Errors
/// If the guest's record or a device cannot be read.
pub fn start_notes(plan: &StartPlan, host: &Host) -> Result<Vec<String>, Error> {
    let record = record(plan)?;
    let mut notes = Vec::from_iter(variables_note(plan, record.as_ref()));
    for request in &plan.requests {
        let last = record
            .as_ref()
            .and_then(|record| record.device(request.address));
        let Some(last) = last else {
            continue;
        };
        let now = host.identity(request.address)?;
        let twins = host.twins(&now);
        if now.compare(last) == Comparison::Unsure && !twins.is_empty() {
            let twins: Vec<String> = twins.iter().map(ToString::to_string).collect();
            notes.push(format!(
                "cannot tell {} from {}, of the same kind: no serial number is known of both \
                 this device and the one that the guest had last time",
                request.address,
                twins.join(", ")
            ));
        }
    }

    Ok(notes)
}

/// Returns the note on variables that other firmware than the chosen one may have made.
fn variables_note(plan: &StartPlan, record: Option<&GuestRecord>) -> Option<String> {
    // Without records, the firmware of the last start is not known.
    if !plan.is_recorded() || plan.descriptor.is_none() {
        return None;
    }
    let os = &plan.domain.os;
    let code = os.loader.as_ref()?.path.as_deref()?;
    let path = nvram::existing(&plan.domain, &Opener::new(&plan.user))?;
    let last = record.and_then(|record| record.firmware.as_ref());
    foreign_variables_note(path, code, last)
}

/// Reads the guest's record, if starts are recorded and the guest has one.
fn record(plan: &StartPlan) -> Result<Option<GuestRecord>, RecordError> {
    if plan.is_recorded() {
        plan.records.read(&plan.name)
    } else {
        Ok(None)
    }
}

/// Compares the devices with those that the guest had at the same addresses, and returns their
/// identities.
pub(crate) fn check_identities(plan: &StartPlan, host: &Host) -> Result<Vec<Identity>, Error> {
    let record = record(plan)?;
    let mut identities = Vec::new();
    for request in &plan.requests {
        let now = host.identity(request.address)?;
        let last = record
            .as_ref()
            .and_then(|record| record.device(request.address));
        match last {
            Some(last) if !plan.accept_new_device && !is_possible(&now, last) => {
                return Err(new_device_error(plan, host, now, last));
            }
            _ => identities.push(now),
        }
    }

    Ok(identities)
}

fn new_device_error(plan: &StartPlan, host: &Host, now: Identity, last: &Identity) -> Error {
    let mut twins = host.twins(last).into_iter();
    let moved_to =
        twins.find(|address| *address != now.address && has_identity(host, *address, last));
    Error::NewDevice {
        guest: plan.name.clone(),
        device: now.address,
        moved_to,
        last: Box::new(last.clone()),
        now: Box::new(now),
    }
}

/// Returns whether the device at an address is certainly the one with an identity.
fn has_identity(host: &Host, address: Address, wanted: &Identity) -> bool {
    match host.identity(address) {
        Ok(identity) => identity.compare(wanted) == Comparison::Same,
        Err(_) => false,
    }
}

/// Checks that no other guest has the named user, unless the plan permits sharing.
fn check_user(plan: &StartPlan) -> Result<(), RecordError> {
    if plan.user.origin != UserOrigin::Named || plan.share_user || !plan.is_recorded() {
        return Ok(());
    }
    check_sharing(&plan.user, &plan.records.others(&plan.name)?)
}

/// Checks that none of the other guests' records has the user.
///
/// # Errors
/// If a record has the user, then [`RecordError::Shared`].
pub(crate) fn check_sharing(user: &User, others: &[GuestRecord]) -> Result<(), RecordError> {
    match others.iter().find(|other| other.has_uid(user.uid())) {
        Some(other) => Err(RecordError::Shared {
            user: user.name.clone(),
            guest: other.name.clone(),
        }),
        None => Ok(()),
    }
}
