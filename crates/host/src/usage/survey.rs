//! What the host uses a device for, and what would break if it were taken away.

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::RawFd;

use passthru_pci::Address;
use serde::Serialize;

use super::console;
use super::descendants::{Descendants, DeviceNode};
use super::disk::loops::LoopDevice;
use super::disk::mounts::MountNamespace;
use super::disk::targets::Target;
use super::disk::{HeldDisks, block, loops, mounts, stack, targets};
use super::net::{Network, NetworkUsage};
use super::process::holders as open;
use super::process::scan::{Process, Processes};
use super::report::{BlindSpot, UsageReport};
use crate::device::DeviceNumber;
use crate::{Device, Host, Sriov};

/// One use of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Usage {
    /// A mounted file system is on it.
    Mount {
        /// Block device that holds the file system: a partition, a logical volume, …
        block: String,
        /// Where it is mounted.
        mount_point: String,
    },
    /// A file system on it is mounted, in another mount namespace only: that of a container or
    /// service.
    PrivateMount {
        /// Block device that holds the file system.
        block: String,
        /// The mount point in that namespace.
        mount_point: String,
        /// A process in that namespace.
        pid: u32,
        /// The name of that process.
        comm: String,
    },
    /// A loop device is set up over it, or over a file on it.
    Loop {
        /// The loop device.
        block: String,
        /// The path of its backing file.
        file: String,
    },
    /// A target of the kernel exports it: nvmet, LIO, a USB gadget.
    KernelTarget {
        /// The object of configfs.
        target: String,
        /// The device node that is exported.
        node: String,
    },
    /// Swap space is on it.
    Swap {
        /// Block device that holds it.
        block: String,
    },
    /// Something has one of its block devices for itself: a volume group, RAID, ZFS, a guest.
    Exclusive {
        /// The block device.
        block: String,
        /// The block devices made of it.
        holders: Vec<String>,
    },
    /// Its network interface is needed.
    Network(NetworkUsage),
    /// It has virtual functions, which go away with it.
    VirtualFunctions {
        /// How many.
        count: u32,
    },
    /// It shows the host's console.
    Console,
    /// A process has one of its device nodes open.
    Process {
        /// The process.
        pid: u32,
        /// Its name.
        comm: String,
        /// The device node.
        node: String,
        /// Whether the process or its data would suffer: block devices, graphics, VFIO.
        vital: bool,
    },
    /// A guest of `passthru` has it.
    Guest {
        /// Name of the guest.
        name: String,
        /// The `passthru` that runs it.
        pid: u32,
    },
}

/// How much a use matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Informs,
    /// Taking the device would break the host or lose data.
    Blocks,
}

/// What the host is doing at one moment: mounts, swap, routes, open device nodes.
#[derive(Clone, Debug)]
pub struct HostSurvey {
    pub(super) host: Host,
    pub(super) namespaces: Vec<MountNamespace>,
    pub(super) swaps: Vec<String>,
    pub(super) loops: Vec<LoopDevice>,
    targets: Vec<Target>,
    network: Network,
    processes: Processes,
    /// What of block devices could not be looked at.
    pub(super) blind_spots: Vec<BlindSpot>,
    /// Devices that the caller has claimed.
    pub(super) claimed: Vec<Address>,
    /// Block devices that the caller holds exclusively.
    pub(super) held: BTreeSet<DeviceNumber>,
    /// Whether disks are opened exclusively, to see claims that leave no trace in sysfs.
    pub(super) opens_disks: bool,
}

impl Usage {
    pub(crate) fn mount(block: String, mount_point: String, process: Option<&Process>) -> Self {
        match process {
            None => Self::Mount { block, mount_point },
            Some(Process { pid, comm }) => Self::PrivateMount {
                block,
                mount_point,
                pid: *pid,
                comm: comm.clone(),
            },
        }
    }

    /// Returns how much this use matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Network(network) => network.severity(),
            Self::Process { vital: false, .. } => Severity::Informs,
            _ => Severity::Blocks,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount { block, mount_point } => {
                write!(f, "the file system on {mount_point} ({block})")
            }
            Self::PrivateMount {
                block,
                mount_point,
                pid,
                comm,
            } => {
                write!(
                    f,
                    "the file system on {mount_point} ({block}) in the mounts of {comm} (pid {pid})"
                )
            }
            Self::Loop { block, file } => write!(f, "{block}, a loop device over {file}"),
            Self::KernelTarget { target, node } => write!(f, "{target}, which exports {node}"),
            Self::Swap { block } => write!(f, "swap space on {block}"),
            Self::Exclusive { block, holders } if holders.is_empty() => {
                write!(
                    f,
                    "{block}, claimed exclusively (by a volume manager, RAID, ZFS or a guest)"
                )
            }
            Self::Exclusive { block, holders } => {
                write!(f, "{block}, part of {}", holders.join(", "))
            }
            Self::Network(network) => write!(f, "{network}"),
            Self::VirtualFunctions { count: 1 } => f.write_str("1 virtual function"),
            Self::VirtualFunctions { count } => write!(f, "{count} virtual functions"),
            Self::Console => f.write_str("the host's console"),
            Self::Process {
                pid, comm, node, ..
            } => write!(f, "{comm} (pid {pid}, {node})"),
            Self::Guest { name, pid } => write!(f, "guest {name} (pid {pid})"),
        }
    }
}

impl Host {
    /// Looks at what the host is doing, once for many devices, and takes nothing: no disk is
    /// opened. A claim of a disk that leaves no trace in sysfs (ZFS) is seen by
    /// [`check`](Self::check) alone.
    pub fn survey(&self) -> HostSurvey {
        HostSurvey {
            opens_disks: false,
            ..self.survey_excluding(&[], &[])
        }
    }

    /// Looks at what the host is doing apart from what the caller has: devices that it has claimed,
    /// and disks that it holds. Disks without any other use are opened exclusively for an instant.
    pub(crate) fn survey_excluding(&self, claimed: &[Address], holds: &[HeldDisks]) -> HostSurvey {
        let own: Vec<RawFd> = holds.iter().flat_map(HeldDisks::descriptors).collect();
        let processes = Processes::scan(self, &own);
        let mut blind_spots = Vec::new();
        HostSurvey {
            host: self.clone(),
            namespaces: mounts::namespaces(self, &processes.mount_namespaces, &mut blind_spots),
            swaps: mounts::swaps(self, &mut blind_spots),
            loops: loops::loops(self, &mut blind_spots),
            targets: targets::targets(self, &mut blind_spots),
            network: Network::survey(self),
            processes,
            blind_spots,
            claimed: claimed.to_vec(),
            held: holds.iter().flat_map(HeldDisks::numbers).collect(),
            opens_disks: true,
        }
    }

    /// Looks at what the host uses a device for.
    pub fn usage_report(&self, device: &Device) -> UsageReport {
        self.survey().report(device)
    }

    /// Looks for the processes that have a device's VFIO nodes open.
    pub(crate) fn vfio_holders(&self, device: &Device) -> UsageReport {
        let processes = Processes::scan(self, &[]);
        let holders = open::holders(&open::vfio_nodes(self, device), &processes);
        UsageReport {
            usages: holders,
            blind_spots: processes.blind_spots,
        }
    }
}

impl HostSurvey {
    /// Returns what the host uses a device for, and what could not be looked at. Nothing for
    /// bridges: what is behind them has uses of its own.
    pub fn report(&self, device: &Device) -> UsageReport {
        if device.is_bridge() {
            return UsageReport::default();
        }
        let dir = self.host.pci(device.address);
        let below = Descendants::of_device_dir(&dir);
        let stack = stack::stack(&self.host, &below.blocks, &self.loops);
        let mut found = block::usages(self, &stack);
        found
            .usages
            .extend(self.network.usages(&self.host, &dir, &below));
        found
            .blind_spots
            .extend(self.network.blind_spots(&self.host, &dir, &below));
        if let Some(Sriov::Physical {
            enabled: count @ 1..,
            ..
        }) = device.sriov
        {
            found.usages.push(Usage::VirtualFunctions { count });
        }
        found
            .usages
            .extend(console::shown(&self.host, device).then_some(Usage::Console));
        let mut nodes = below.nodes;
        nodes.extend(stack::nodes(&self.host, &stack));
        nodes.extend(open::vfio_nodes(&self.host, device));
        nodes.extend(open::nvidia_node(&self.host, device));
        found.usages.extend(self.exports(&nodes));
        found.usages.extend(open::holders(&nodes, &self.processes));
        if nodes.iter().any(|node| node.vital) {
            found
                .blind_spots
                .extend(self.processes.blind_spots.iter().cloned());
        }
        if !self.claimed.contains(&device.address) {
            let owner = self.host.owner(device.address).map(Usage::from);
            found.usages.splice(0..0, owner);
        }
        found
    }

    /// Holds the disks of a device exclusively.
    pub(crate) fn hold_disks(&self, device: &Device) -> HeldDisks {
        let below = Descendants::of_device_dir(&self.host.pci(device.address));
        HeldDisks::new(
            &self.host,
            &stack::stack(&self.host, &below.blocks, &self.loops),
        )
    }

    fn exports(&self, nodes: &[DeviceNode]) -> Vec<Usage> {
        let mut exports = Vec::new();
        for Target { name, number } in &self.targets {
            let node = nodes.iter().find(|node| node.number == Some(*number));
            exports.extend(node.map(|node| Usage::KernelTarget {
                target: name.clone(),
                node: node.path.clone(),
            }));
        }
        exports
    }
}
