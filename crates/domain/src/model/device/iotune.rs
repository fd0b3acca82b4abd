//! `<iotune>` of a disk: limits of the throughput.

use crate::xml::{Element, Visitor};

/// `<iotune>`: limits of the throughput, which are set once the guest runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IoTune {
    /// Values of the children of `<iotune>`, in the order in which they are written.
    ///
    /// - Bytes and requests per second: total, read, write; sustained, then in bursts.
    /// - Size of a request in bytes (`size_iops_sec`).
    /// - Lengths of bursts in seconds.
    pub limits: [Option<u64>; 19],
    /// Name of a group of disks that share the limits.
    pub group_name: Option<String>,
}

/// Element names of the limits of [`IoTune`].
const LIMITS: [&str; 19] = [
    "total_bytes_sec",
    "read_bytes_sec",
    "write_bytes_sec",
    "total_iops_sec",
    "read_iops_sec",
    "write_iops_sec",
    "total_bytes_sec_max",
    "read_bytes_sec_max",
    "write_bytes_sec_max",
    "total_iops_sec_max",
    "read_iops_sec_max",
    "write_iops_sec_max",
    "size_iops_sec",
    "total_bytes_sec_max_length",
    "read_bytes_sec_max_length",
    "write_bytes_sec_max_length",
    "total_iops_sec_max_length",
    "read_iops_sec_max_length",
    "write_iops_sec_max_length",
];

impl Element for IoTune {
    fn visit(&mut self, v: &mut dyn Visitor) {
        for (name, slot) in LIMITS.into_iter().zip(&mut self.limits) {
            v.leaf(name, slot);
        }
        v.leaf("group_name", &mut self.group_name);
    }
}
