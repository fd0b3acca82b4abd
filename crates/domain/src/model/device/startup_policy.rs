//! `startupPolicy` of disks and USB devices.

use crate::xml::value::words;

words! {
    /// The rule for a guest whose disk or USB device is missing on the host.
    pub enum StartupPolicy {
        /// The guest does not start.
        Mandatory = "mandatory",
        /// The guest does not boot; one that is migrated or restored continues without the device.
        Requisite = "requisite",
        /// The guest starts without the device.
        Optional = "optional",
    }
}
