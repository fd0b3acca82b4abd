//! Exclusive opens of block devices.
//!
//! The kernel keeps two users of a disk apart by exclusive opens (`O_EXCL`). A mount, a volume
//! group, a RAID and swap each have one, and refuse a disk that another user has open so.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::block_device::{is_partition, node};
use super::stack::BlockStack;
use crate::Host;
use crate::device::DeviceNumber;
use crate::usage::blind_spot::BlindSpot;

pub(super) const CLAIMS: &str = "exclusive claims on it";

/// The disks of a device, held exclusively: nothing can mount them while this value lives.
///
/// The default holds none.
#[derive(Debug, Default)]
pub struct HeldDisks {
    files: Vec<(DeviceNumber, OwnedFd)>,
}

/// Result of an exclusive open.
pub(crate) enum ExclusiveOpen {
    /// The device is open exclusively now.
    Free(OwnedFd),
    /// Another user has the device open exclusively (`EBUSY`).
    Busy,
    /// The drive has no medium (`ENOMEDIUM`, `ENXIO`).
    NoMedium,
}

impl HeldDisks {
    /// Holds the whole disks of a stack, and thereby their partitions.
    ///
    /// A disk that stays busy is left out. A disk that is busy only while another program inspects
    /// it is waited for.
    pub(crate) fn new(host: &Host, stack: &BlockStack) -> Self {
        let mut files = Vec::new();
        for (block, number) in whole_disks(host, stack) {
            host.wait_until(host.wait() / 8, || {
                match open_exclusively(host, block, number) {
                    Ok(ExclusiveOpen::Busy) => false,
                    Ok(ExclusiveOpen::Free(file)) => {
                        files.push((number, file));
                        true
                    }
                    Ok(ExclusiveOpen::NoMedium) | Err(_) => true,
                }
            });
        }

        Self { files }
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.files.iter().map(|(_, file)| file.as_raw_fd())
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = DeviceNumber> {
        self.files.iter().map(|(number, _)| *number)
    }
}

/// Returns the disks of a stack that have a node and are not partitions.
pub(super) fn whole_disks<'a>(host: &Host, stack: &'a BlockStack) -> Vec<(&'a str, DeviceNumber)> {
    stack
        .iter()
        .filter(|(block, _)| !is_partition(host, block))
        .filter_map(|(block, number)| Some((block.as_str(), (*number)?)))
        .collect()
}

/// Opens a block device exclusively by its node in `/dev`.
///
/// # Errors
/// - If the node cannot be opened, then the error of the system call.
/// - If the node is not that of the device, then its number.
pub(super) fn open_exclusively(
    host: &Host,
    block: &str,
    number: DeviceNumber,
) -> Result<ExclusiveOpen, BlindSpot> {
    let node = node(host, block);
    let path = host.path(node.trim_start_matches('/'));
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::BUSY) => return Ok(ExclusiveOpen::Busy),
        Err(Errno::NOMEDIUM | Errno::NXIO) => return Ok(ExclusiveOpen::NoMedium),
        Err(error) => return Err(BlindSpot::new(CLAIMS, node, std::io::Error::from(error))),
    };
    match host.number_of(&file) {
        Ok(Some(found)) if found == number => Ok(ExclusiveOpen::Free(file)),
        Ok(Some(found)) => {
            let reason = format!("it is {found}, not {number}");
            Err(BlindSpot::new(CLAIMS, node, reason))
        }
        Ok(None) => Err(BlindSpot::new(CLAIMS, node, "it is not a device node")),
        Err(error) => Err(BlindSpot::new(CLAIMS, node, error)),
    }
}
