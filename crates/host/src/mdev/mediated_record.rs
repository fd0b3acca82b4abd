//! The record of a mediated device: which VMM has it. Nothing else of the device changes.

use serde::{Deserialize, Serialize};

use super::uuid::Uuid;
use crate::record::{read_record, write_record};
use crate::{Error, Host, ProcessId};

/// Version of the records of mediated devices that this program writes and reads.
pub(super) const VERSION: u32 = 1;

/// The record of a mediated device that a VMM has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MediatedRecord {
    /// Version of the format.
    pub(crate) version: u32,
    /// Name of the device.
    pub(crate) device: Uuid,
    /// Guest that has the device.
    pub(crate) guest: String,
    /// VMM of the guest. While it may live, the device belongs to the guest.
    pub(crate) vmm: ProcessId,
}

impl Host {
    /// Reads the record of a mediated device, of any boot.
    ///
    /// # Errors
    /// Those of [`read_record`].
    pub(crate) fn mediated_record(&self, uuid: Uuid) -> Result<Option<MediatedRecord>, Error> {
        read_record(self.record_path(uuid.into()), VERSION)
    }

    /// Writes the record of a mediated device. The caller must have the device's claim.
    pub(super) fn write_mediated_record(&self, record: &MediatedRecord) -> Result<(), Error> {
        write_record(self.record_path(record.device.into()), record)
    }
}
