//! Removal of a guest's record.

use std::path::Path;

use passthru_host::Host;
use passthru_pci::Address;
use serde::Serialize;

use crate::error::Error;
use crate::run::folder::GuestFolder;
use crate::run::recover::clear_remains;
use crate::start::record::{Error as RecordError, Records};

/// Facts of a record that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Name of the guest.
    pub name: String,
    /// User id of the guest, which is free again.
    pub uid: Option<u32>,
    /// Addresses of the guest's devices.
    pub devices: Vec<Address>,
    /// Path of the file of firmware variables, which is not removed.
    pub nvram: Option<String>,
    /// Reason for which the record could not be read, if it could not.
    pub unreadable: Option<String>,
}

/// Removes the record of a guest that does not live. Undoes first what is left of its last start.
///
/// # Errors
/// - If the guest has no record, then [`RecordError::Unknown`].
/// - If the guest runs or its VMM may live, then [`Error::Folder`].
/// - If the record cannot be removed, then [`Error::Record`].
pub fn forget(name: &str, records: &Records, run: &Path, host: &Host) -> Result<Forgotten, Error> {
    let known = records.names()?;
    if !known.iter().any(|other| other == name) {
        return Err(RecordError::Unknown {
            name: name.into(),
            known,
        }
        .into());
    }

    let folder = GuestFolder::lock(run, name)?;
    clear_remains(&folder, records, host, &[])?;
    let locked = records.lock()?;
    let read = records.read(name);
    let unreadable = read.as_ref().err().map(ToString::to_string);
    let record = read.ok().flatten();
    let own = record.as_ref().and_then(|record| record.own);
    locked.remove(name)?;
    Ok(Forgotten {
        name: name.into(),
        uid: own.map(|own| own.uid),
        devices: record
            .iter()
            .flat_map(|record| &record.devices)
            .map(|device| device.address)
            .collect(),
        nvram: record.and_then(|record| record.firmware?.nvram),
        unreadable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::record::{GuestRecord, Ids};

    const UID: u32 = 2_100_012_345;

    #[test]
    fn record_is_removed_unless_the_guest_lives() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let host = Host::new();
        let records = Records::new(folder.path().join("guests"));
        let error = forget("vm", &records, &run, &host).unwrap_err();

        assert!(
            error.to_string().contains("no record of a guest 'vm'"),
            "{error}"
        );

        let mut record = GuestRecord::new("vm");
        record.own = Some(Ids { uid: UID, gid: UID });
        records.lock().unwrap().write(&record).unwrap();
        let guest_folder = GuestFolder::lock(&run, "vm").unwrap();
        let error = forget("vm", &records, &run, &host).unwrap_err();
        assert!(error.to_string().contains("is running already"), "{error}");
        assert!(records.read("vm").unwrap().is_some());

        drop(guest_folder);

        let forgotten = forget("vm", &records, &run, &host).unwrap();
        assert_eq!((forgotten.uid, forgotten.unreadable), (Some(UID), None));
        assert_eq!(records.read("vm").unwrap(), None);
    }

    #[test]
    fn damaged_record_is_removed_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().join("guests"));
        drop(records.lock().unwrap());
        std::fs::write(records.path("vm"), "{").unwrap();
        let forgotten = forget("vm", &records, &folder.path().join("run"), &Host::new()).unwrap();

        assert!(
            forgotten
                .unreadable
                .is_some_and(|reason| reason.contains("is not a record"))
        );
        assert!(records.names().unwrap().is_empty());
    }
}
