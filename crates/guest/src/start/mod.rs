//! The start of a guest: its user, its record, its files and descriptors, and its VMM's process.

pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod firmware;
pub(crate) mod ids;
pub(crate) mod images;
pub(crate) mod inherited;
pub(crate) mod last_firmware;
pub(crate) mod launch;
pub(crate) mod nvram;
pub(crate) mod opened;
pub(crate) mod outside;
pub(crate) mod passwords;
pub(crate) mod qcow2;
pub(crate) mod record;
pub(crate) mod registration;
pub(crate) mod slow_start;
pub(crate) mod spawn;
pub(crate) mod user;
pub(crate) mod vfio_folder;
