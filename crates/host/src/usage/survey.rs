//! The survey of the host, from which reports on devices are made.

use std::os::fd::RawFd;
use std::path::Path;

use passthru_pci::Address;

use super::console;
use super::descendants::{Descendants, DeviceNode};
use super::disk::{DiskSurvey, HeldDisks, KernelTarget, block_usages, stack};
use super::net::Network;
use super::process::holders::{holders, nodes_below, nvidia_node, vfio_nodes};
use super::process::scan::Processes;
use super::report::UsageReport;
use super::usage::Usage;
use crate::{Device, Host, Sriov};

/// A survey of the host at one moment: mounts, swap, routes, open device nodes.
///
/// A survey is slow to make, so make one survey for many devices.
#[derive(Clone, Debug)]
pub struct HostSurvey {
    host: Host,
    disks: DiskSurvey,
    network: Network,
    processes: Processes,
    /// Devices that the caller has claimed.
    claimed: Vec<Address>,
}

impl Host {
    /// Makes a survey of the host without opening a disk.
    ///
    /// An exclusive claim that sysfs does not show (ZFS) is missing in this survey. Only
    /// [`check`](Self::check) and [`assign`](Self::assign) find such a claim.
    pub fn survey(&self) -> HostSurvey {
        let mut survey = self.survey_excluding(&[], &[]);
        survey.disks.opens_disks = false;
        survey
    }

    /// Makes a survey of the host that leaves out the caller's own claims and held disks.
    ///
    /// Reports of this survey open disks that have no other usage, exclusively and for an instant.
    pub(crate) fn survey_excluding(&self, claimed: &[Address], held: &[&HeldDisks]) -> HostSurvey {
        let own_fds: Vec<RawFd> = held.iter().flat_map(|disks| disks.descriptors()).collect();
        let processes = Processes::scan(self, &own_fds);
        let mut disks = DiskSurvey::new(self, &processes.mount_namespaces);
        disks.is_claimed = !claimed.is_empty();
        disks.held = held.iter().flat_map(|disks| disks.numbers()).collect();
        HostSurvey {
            host: self.clone(),
            disks,
            network: Network::survey(self),
            processes,
            claimed: claimed.to_vec(),
        }
    }

    /// Reports on one device, by a survey made for it.
    pub fn usage_report(&self, device: &Device) -> UsageReport {
        self.survey().report(device)
    }

    /// Reports the processes that have a PCI device's VFIO nodes open.
    pub(crate) fn vfio_holders(&self, device: &Device) -> UsageReport {
        self.holders_of_nodes(&vfio_nodes(self, device))
    }

    /// Reports the processes that have the VFIO nodes of a device open. `dir` is the device's
    /// folder in sysfs.
    pub(crate) fn holders_of(
        &self,
        dir: &Path,
        cdev: Option<&str>,
        group: Option<u32>,
    ) -> UsageReport {
        self.holders_of_nodes(&nodes_below(self, dir, cdev, group))
    }

    fn holders_of_nodes(&self, nodes: &[DeviceNode]) -> UsageReport {
        let processes = Processes::scan(self, &[]);
        UsageReport {
            usages: holders(nodes, &processes),
            blind_spots: processes.blind_spots,
        }
    }
}

impl HostSurvey {
    /// Reports on one device.
    ///
    /// The report on a bridge is empty: the devices behind the bridge have reports of their own.
    pub fn report(&self, device: &Device) -> UsageReport {
        if device.is_bridge() {
            return UsageReport::default();
        }
        let dir = self.host.pci(device.address);
        let below = Descendants::of_device_dir(&dir);
        let stack = self.disks.stack(&below.blocks);
        let mut report = block_usages(&self.disks, &stack);
        let usages = &mut report.usages;
        usages.extend(self.network.usages(&self.host, &dir, &below));
        usages.extend(virtual_functions(device));
        if console::is_on(&self.host, device) {
            usages.push(Usage::Console);
        }
        let nodes = self.nodes(device, &below, &stack);
        usages.extend(self.exports(&nodes));
        usages.extend(holders(&nodes, &self.processes));
        if !self.claimed.contains(&device.address) {
            let owner = self.host.owner(device.address).map(Usage::from);
            usages.splice(0..0, owner);
        }

        let blind_spots = &mut report.blind_spots;
        blind_spots.extend(self.network.blind_spots(&self.host, &dir, &below));
        if nodes.iter().any(|node| node.vital) {
            blind_spots.extend(self.processes.blind_spots.iter().cloned());
        }
        report
    }

    /// Holds the disks of a claimed device exclusively. A disk that another user has is left out:
    /// [`Host::check_claimed`] reports such a use.
    pub fn hold_disks(&self, device: &Device) -> HeldDisks {
        let below = Descendants::of_device_dir(&self.host.pci(device.address));
        HeldDisks::new(&self.host, &self.disks.stack(&below.blocks))
    }

    /// Lists the nodes by which a process can have a device open.
    fn nodes(
        &self,
        device: &Device,
        below: &Descendants,
        stack: &stack::BlockStack,
    ) -> Vec<DeviceNode> {
        let mut nodes = below.nodes.clone();
        nodes.extend(stack::nodes(&self.host, stack));
        nodes.extend(vfio_nodes(&self.host, device));
        nodes.extend(nvidia_node(&self.host, device));
        nodes
    }

    /// Returns the kernel targets that export one of the nodes.
    fn exports(&self, nodes: &[DeviceNode]) -> Vec<Usage> {
        let mut exports = Vec::new();
        for KernelTarget { name, number } in &self.disks.targets {
            let node = nodes.iter().find(|node| node.number == Some(*number));
            exports.extend(node.map(|node| Usage::KernelTarget {
                target: name.clone(),
                node: node.path.clone(),
            }));
        }

        exports
    }
}

fn virtual_functions(device: &Device) -> Option<Usage> {
    match device.sriov {
        Some(Sriov::Physical {
            enabled: count @ 1..,
            ..
        }) => Some(Usage::VirtualFunctions { count }),
        _ => None,
    }
}
