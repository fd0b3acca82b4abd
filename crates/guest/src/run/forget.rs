//! The end of a guest's record.

use crate::error::Error;
use crate::run::folder::GuestFolder;
use crate::start::record::{Error as RecordError, Records};
use passthru_host::Host;
use passthru_pci::Address;
use serde::Serialize;
use std::path::Path;

/// Facts that a guest's record held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Name of the guest.
    pub name: String,
    /// User id that is free again.
    pub uid: Option<u32>,
    /// Addresses of its devices.
    pub devices: Vec<Address>,
    /// File of its firmware variables. It is not removed.
    pub nvram: Option<String>,
    /// Reason for which the record could not be read.
    pub unreadable: Option<String>,
}

/// Removes the record of a guest that does not live, and its folder below `run`.
///
/// # Errors
/// [`RecordError::Unknown`]; a guest that runs, or whose VMM may live.
pub fn forget(name: &str, records: &Records, run: &Path, host: &Host) -> Result<Forgotten, Error> {
    let known = records.names()?;
    if !known.iter().any(|other| other == name) {
        return Err(RecordError::Unknown {
            name: name.into(),
            known,
        }
        .into());
    }
    let _folder = GuestFolder::create(run, name, host)?;
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
    fn record_goes_unless_the_guest_lives() {
        let folder = tempfile::tempdir().unwrap();
        let (run, host) = (folder.path().join("run"), Host::new());
        let records = Records::new(folder.path().join("guests"));
        let error = forget("vm", &records, &run, &host).unwrap_err();
        assert!(
            error.to_string().contains("no record of a guest 'vm'"),
            "{error}"
        );

        let mut record = GuestRecord::new("vm");
        record.own = Some(Ids { uid: UID, gid: UID });
        records.lock().unwrap().write(&record).unwrap();
        let guest_folder = GuestFolder::create(&run, "vm", &host).unwrap();
        let error = forget("vm", &records, &run, &host).unwrap_err();
        assert!(error.to_string().contains("is running already"), "{error}");
        assert!(records.read("vm").unwrap().is_some());
        drop(guest_folder);

        let forgotten = forget("vm", &records, &run, &host).unwrap();
        assert_eq!((forgotten.uid, forgotten.unreadable), (Some(UID), None));
        assert_eq!(records.read("vm").unwrap(), None);
    }

    #[test]
    fn damaged_record_is_forgotten_and_said() {
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
