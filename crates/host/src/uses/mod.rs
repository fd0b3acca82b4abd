//! What the host uses a device for, and what would break if it were taken away.

mod below;
mod block;
mod console;
mod found;
mod net;
mod open;

use std::fmt;

use serde::Serialize;

use crate::{Device, Host, Sriov};
use below::Below;
use block::Mount;
pub use found::{Unseen, Uses, Verdict};
use open::OpenFile;

/// One use of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Use {
    /// A mounted file system is on it.
    Mount {
        /// Block device that holds the file system: a partition, a logical volume, …
        block: String,
        /// Where it is mounted.
        mount_point: String,
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
    /// The default route goes over it.
    DefaultRoute {
        /// Its own network interface.
        netdev: String,
        /// The interface that has the route: the same, or a bond, bridge or VLAN that it is part of.
        route: String,
    },
    /// Its network interface is the only one that is up.
    OnlyLink {
        /// The network interface.
        netdev: String,
    },
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
pub struct Usage {
    host: Host,
    mounts: Vec<Mount>,
    swaps: Vec<String>,
    routes: Vec<String>,
    links: Vec<String>,
    open: Vec<OpenFile>,
    /// What could not be looked at, for any device.
    unseen: Vec<Unseen>,
}

impl Use {
    /// Returns how much this use matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::OnlyLink { .. } | Self::Process { vital: false, .. } => Severity::Informs,
            _ => Severity::Blocks,
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount { block, mount_point } => write!(f, "the file system on {mount_point} ({block})"),
            Self::Swap { block } => write!(f, "swap space on {block}"),
            Self::Exclusive { block, holders } if holders.is_empty() => {
                write!(f, "{block}, claimed exclusively (by a volume manager, RAID, ZFS or a guest)")
            }
            Self::Exclusive { block, holders } => write!(f, "{block}, part of {}", holders.join(", ")),
            Self::DefaultRoute { netdev, route } if netdev == route => {
                write!(f, "the default route over {netdev}")
            }
            Self::DefaultRoute { netdev, route } => {
                write!(f, "the default route over {route}, which {netdev} is part of")
            }
            Self::OnlyLink { netdev } => write!(f, "{netdev}, the only network link that is up"),
            Self::VirtualFunctions { count: 1 } => f.write_str("1 virtual function"),
            Self::VirtualFunctions { count } => write!(f, "{count} virtual functions"),
            Self::Console => f.write_str("the host's console"),
            Self::Process { pid, comm, node, .. } => write!(f, "{comm} (pid {pid}, {node})"),
            Self::Guest { name, pid } => write!(f, "guest {name} (pid {pid})"),
        }
    }
}

impl Host {
    /// Looks at what the host is doing, once for many devices.
    pub fn usage(&self) -> Usage {
        Usage {
            host: self.clone(),
            mounts: block::mounts(self),
            swaps: block::swaps(self),
            routes: net::default_routes(self),
            links: net::links_up(self),
            open: open::device_nodes(self),
            unseen: Vec::new(),
        }
    }

    /// Looks at what the host uses a device for.
    pub fn uses(&self, device: &Device) -> Uses {
        self.usage().of(device)
    }

    /// Lists the processes that have a device's VFIO nodes open.
    pub(crate) fn vfio_holders(&self, device: &Device) -> Vec<Use> {
        open::holders(&open::vfio_nodes(device), &open::device_nodes(self))
    }
}

impl Usage {
    /// Returns what the host uses a device for, and what could not be looked at. Nothing for bridges:
    /// what is behind them has uses of its own.
    ///
    /// A block device without any other use is opened exclusively for an instant, to see whether something that
    /// leaves no other trace (ZFS, another mount namespace) has it.
    pub fn of(&self, device: &Device) -> Uses {
        if device.is_bridge() {
            return Uses::default();
        }
        let below = Below::of(&self.host.pci(device.address));
        let mut uses: Vec<Use> = self.host.owner(device.address).map(Use::from).into_iter().collect();
        uses.extend(block::uses(self, &below));
        uses.extend(net::uses(self, &below));
        if let Some(Sriov::Physical { enabled: count @ 1.., .. }) = device.sriov {
            uses.push(Use::VirtualFunctions { count });
        }
        uses.extend(console::shown(&self.host, device).then_some(Use::Console));
        let mut nodes = below.nodes;
        nodes.extend(open::vfio_nodes(device));
        nodes.extend(open::nvidia_node(&self.host, device));
        uses.extend(open::holders(&nodes, &self.open));
        Uses { known: uses, unseen: self.unseen.clone() }
    }
}
