//! Exclusive opens of block devices, which is how the kernel keeps two users of a disk apart: a
//! mount, a volume group, a RAID and swap each have one, and refuse a disk that another has.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::stack::{self, BlockStack};
use crate::Host;
use crate::device::DeviceNumber;
use crate::usage::report::BlindSpot;

pub(crate) const CLAIMS: &str = "exclusive claims on it";

/// The disks of a device, held exclusively: none is mounted for as long as this lives.
#[derive(Debug, Default)]
pub(crate) struct HeldDisks {
    files: Vec<(DeviceNumber, OwnedFd)>,
}

/// The answer to an exclusive open.
pub(crate) enum ExclusiveOpen {
    /// Nobody else has the device so.
    Free(OwnedFd),
    /// Somebody has.
    Busy,
    /// There is no medium, so nothing to have.
    Empty,
}

impl HeldDisks {
    /// Holds the whole disks of a stack, by which their partitions are held too. One that another
    /// has for longer than a look takes is left out.
    pub(crate) fn new(host: &Host, stack: &BlockStack) -> Self {
        let mut files = Vec::new();
        for (block, number) in whole(host, stack) {
            host.wait_until(host.wait() / 8, || {
                match open_exclusively(host, block, number) {
                    Ok(ExclusiveOpen::Busy) => false,
                    Ok(ExclusiveOpen::Free(file)) => {
                        files.push((number, file));
                        true
                    }
                    Ok(ExclusiveOpen::Empty) | Err(_) => true,
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
pub(crate) fn whole<'a>(host: &Host, stack: &'a BlockStack) -> Vec<(&'a str, DeviceNumber)> {
    let blocks = stack
        .iter()
        .filter(|(block, _)| !stack::is_partition(host, block));
    blocks
        .filter_map(|(block, number)| Some((block.as_str(), (*number)?)))
        .collect()
}

/// Opens a block device exclusively by its node in `/dev`.
///
/// # Errors
/// When the node is missing, of another device, or cannot be opened.
pub(crate) fn open_exclusively(
    host: &Host,
    block: &str,
    number: DeviceNumber,
) -> Result<ExclusiveOpen, BlindSpot> {
    let node = stack::node(host, block);
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match open(
        host.path(node.trim_start_matches('/')),
        flags,
        Mode::empty(),
    ) {
        Ok(file) => file,
        Err(Errno::BUSY) => return Ok(ExclusiveOpen::Busy),
        Err(Errno::NOMEDIUM | Errno::NXIO) => return Ok(ExclusiveOpen::Empty),
        Err(error) => return Err(BlindSpot::new(CLAIMS, node, std::io::Error::from(error))),
    };
    match host.number_of(&file) {
        Ok(Some(found)) if found == number => Ok(ExclusiveOpen::Free(file)),
        Ok(Some(found)) => Err(BlindSpot::new(
            CLAIMS,
            node,
            format!("it is {found}, not {number}"),
        )),
        Ok(None) => Err(BlindSpot::new(CLAIMS, node, "it is not a device node")),
        Err(error) => Err(BlindSpot::new(CLAIMS, node, error)),
    }
}
