//! Checks of a plan against the host, by which a start is refused before anything changes.

use std::path::Path;

use passthru_domain::{Backend, Domain};
use passthru_host::{Comparison, Host, Identity, Request};
use passthru_pci::Address;

use crate::error::Error;
use crate::opener::Opener;
use crate::plan::start_plan::{StartPlan, backends, device_faults, requests};
use crate::plan::type1::check_groups;
use crate::run::folder::{check_remains, folder_path};
use crate::start::last_firmware::foreign_variables_note;
use crate::start::nvram;
use crate::start::opened::check_files;
use crate::start::record::{Error as RecordError, GuestRecord, is_possible};
use crate::start::user::{User, UserOrigin};

/// Checks whether the host permits the start now, and changes nothing. The error has all reasons
/// against the start.
///
/// # Errors
/// - If a VMM of an earlier start may live, then [`Error::Folder`] alone.
/// - If a device is not a PCI device, then [`Error::NotPci`].
/// - If an image, file or descriptor cannot be used, then its error.
/// - If another guest has the named user, then [`Error::Record`].
/// - If a device is not the one that the guest had at its address, then [`Error::NewDevice`].
/// - If a device cannot be assigned, then [`Error::Host`].
/// - If two devices cannot share their IOMMU group, then [`Error::SharedGroup`].
pub fn check(plan: &StartPlan, host: &Host) -> Result<(), Error> {
    let folder = folder_path(&plan.run_dir, &plan.name);
    check_remains(&folder, &plan.name, host)?;
    check_host(plan, host)
}

/// Checks the plan, its user, devices and files, as [`check`] does. The caller knows that no VMM of
/// an earlier start lives.
pub(crate) fn check_host(plan: &StartPlan, host: &Host) -> Result<(), Error> {
    let mut errors = plan.faults();
    errors.extend(check_user(plan).err().map(Error::from));
    match compare_identities(plan, host) {
        // The check of the devices reports a missing one.
        Ok(compared) => errors.extend(compared.errors.into_iter().filter(|e| !is_missing(e))),
        Err(error) => errors.push(error.into()),
    }

    errors.extend(check_functions(&plan.domain, &plan.requests, host));
    let mut files = check_files(plan);
    files.retain(|file| !names_image_of(&errors, file));
    errors.extend(files);
    Error::check_none(errors)
}

/// Checks the devices of a complete domain for which no plan can be made, and changes nothing.
///
/// # Errors
/// If a start does not support a device, or the host does not permit to assign it.
pub fn check_devices(domain: &Domain, host: &Host) -> Result<(), Error> {
    let mut errors = device_faults(domain);
    errors.extend(check_functions(domain, &requests(domain), host));
    Error::check_none(errors)
}

/// Returns the reasons of the host against the devices of a domain, which are requested.
fn check_functions(domain: &Domain, requests: &[Request], host: &Host) -> Vec<Error> {
    let mut errors = Vec::new();
    for backend in backends(domain) {
        let checked = match backend {
            Backend::Iommufd => host.check_iommufd(),
            Backend::Type1 => host.check_type1(),
        };
        errors.extend(checked.err().map(Error::from));
    }

    let refused = passthru_host::Error::several(host.check_all(requests));
    errors.extend(refused.map(Error::from));
    let groups = check_groups(domain, host).err();
    errors.extend(groups.filter(|error| !is_missing(error)));
    errors
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Host(passthru_host::Error::NotFound { .. }))
}

/// Returns whether one of the errors is about the image that cannot be opened.
fn names_image_of(errors: &[Error], file: &Error) -> bool {
    let Error::File { path, .. } = file else {
        return false;
    };
    errors
        .iter()
        .any(|error| matches!(error, Error::Image(image) if image.path() == Path::new(path)))
}

/// Lists notes on a start that is not refused.
///
/// - A note names a device that may not be the one of the last start. In that case the host has
///   others of the same kind, and no serial number tells them apart.
/// - A note names firmware variables that other firmware may have made.
///
/// A record or a device that cannot be read gives no note: [`check`] returns the error.
pub fn start_notes(plan: &StartPlan, host: &Host) -> Vec<String> {
    let record = record(plan).ok().flatten();
    let mut notes = Vec::from_iter(variables_note(plan, record.as_ref()));
    for request in &plan.requests {
        let last = record
            .as_ref()
            .and_then(|record| record.device(request.address));
        let Some(last) = last else {
            continue;
        };
        let Ok(now) = host.identity(request.address) else {
            continue;
        };
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

    notes
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

/// The devices of a start, compared with those of the guest's last start.
struct ComparedDevices {
    identities: Vec<Identity>,
    /// One error for each device that cannot be read or is not that of the last start.
    errors: Vec<Error>,
}

/// Compares the devices with those that the guest had at the same addresses, and returns their
/// identities.
pub(crate) fn check_identities(plan: &StartPlan, host: &Host) -> Result<Vec<Identity>, Error> {
    let compared = compare_identities(plan, host)?;
    Error::check_none(compared.errors)?;
    Ok(compared.identities)
}

fn compare_identities(plan: &StartPlan, host: &Host) -> Result<ComparedDevices, RecordError> {
    let record = record(plan)?;
    let mut identities = Vec::new();
    let mut errors = Vec::new();
    for request in &plan.requests {
        let now = match host.identity(request.address) {
            Ok(now) => now,
            Err(error) => {
                errors.push(error.into());
                continue;
            }
        };
        let last = record
            .as_ref()
            .and_then(|record| record.device(request.address));
        match last {
            Some(last) if !plan.accept_new_device && !is_possible(&now, last) => {
                errors.push(new_device_error(plan, host, now, last));
            }
            _ => identities.push(now),
        }
    }

    Ok(ComparedDevices { identities, errors })
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

#[cfg(test)]
mod tests;
