//! `sgio` of disks and SCSI devices.

use crate::xml::value::words;

words! {
    /// The filter for SCSI commands of the guest (`SG_IO`).
    pub enum Sgio {
        /// Only commands that unprivileged users may send reach the device.
        Filtered = "filtered",
        /// All commands reach the device.
        Unfiltered = "unfiltered",
    }
}
