//! The survey of the host's disks.

use std::collections::BTreeSet;

use super::loops::{LoopDevice, loops};
use super::mounts::{MountNamespace, mount_namespaces, swaps};
use super::stack::{self, BlockStack};
use super::targets::{KernelTarget, targets};
use crate::Host;
use crate::device::DeviceNumber;
use crate::usage::blind_spot::BlindSpot;
use crate::usage::process::Process;

/// The parts of a host survey that concern block devices.
#[derive(Clone, Debug)]
pub(crate) struct DiskSurvey {
    pub(crate) host: Host,
    pub(crate) namespaces: Vec<MountNamespace>,
    /// Paths of swap devices and swap files.
    pub(crate) swaps: Vec<String>,
    pub(crate) loops: Vec<LoopDevice>,
    pub(crate) targets: Vec<KernelTarget>,
    pub(crate) blind_spots: Vec<BlindSpot>,
    /// Whether the caller has claimed the devices whose disks are inspected.
    pub(crate) is_claimed: bool,
    /// Block devices that the caller holds exclusively.
    pub(crate) held: BTreeSet<DeviceNumber>,
    /// Whether disks may be opened exclusively, to find claims that sysfs does not show.
    pub(crate) opens_disks: bool,
}

impl DiskSurvey {
    /// Surveys the disks. `processes` has one process of each mount namespace.
    pub(crate) fn new(host: &Host, processes: &[Process]) -> Self {
        let mut blind_spots = Vec::new();
        Self {
            host: host.clone(),
            namespaces: mount_namespaces(host, processes, &mut blind_spots),
            swaps: swaps(host, &mut blind_spots),
            loops: loops(host, &mut blind_spots),
            targets: targets(host, &mut blind_spots),
            blind_spots,
            is_claimed: false,
            held: BTreeSet::new(),
            opens_disks: true,
        }
    }

    /// Returns the block devices and all block devices that are made of them.
    pub(crate) fn stack(&self, blocks: &[String]) -> BlockStack {
        stack::stack(&self.host, blocks, &self.loops)
    }
}
