//! The order among the devices that the guest boots from.
//!
//! The order is always given by `bootindex` at each device. A domain says it there, or by classes
//! of devices: then the first device of a class has the class's place.

use passthru_domain::Domain;
use passthru_domain::device::disk::{Disk, DiskDevice};
use passthru_domain::device::interface::Interface;
use passthru_domain::os::BootDevice;

/// The places in the boot order that device classes have, and which devices stand for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct BootOrder {
    /// Aliases of devices, with their places.
    by_class: Vec<(String, u32)>,
}

impl BootOrder {
    pub(crate) fn of(domain: &Domain) -> Self {
        let places = (1u32..).zip(&domain.os.boot);
        let by_class = places.filter_map(|(place, class)| Some((first_of(domain, *class)?, place)));
        Self {
            by_class: by_class.collect(),
        }
    }

    pub(crate) fn of_disk(&self, disk: &Disk) -> Option<u32> {
        disk.info
            .boot_order()
            .or_else(|| self.by_alias(disk.info.id()))
    }

    pub(crate) fn of_interface(&self, interface: &Interface) -> Option<u32> {
        interface
            .info
            .boot_order()
            .or_else(|| self.by_alias(interface.info.id()))
    }

    fn by_alias(&self, alias: &str) -> Option<u32> {
        self.by_class
            .iter()
            .find(|(known, _)| known == alias)
            .map(|(_, place)| *place)
    }
}

/// The first device of a class, by its alias.
fn first_of(domain: &Domain, class: BootDevice) -> Option<String> {
    let disk = |device| {
        let mut disks = domain.devices.disks.iter();
        let class = |disk: &Disk| match disk.device {
            // A disk of the host is one too.
            None | Some(DiskDevice::Lun) => DiskDevice::Disk,
            Some(device) => device,
        };
        disks
            .find(|disk| class(disk) == device)
            .map(|disk| &disk.info)
    };
    let info = match class {
        BootDevice::Hd => disk(DiskDevice::Disk),
        BootDevice::Cdrom => disk(DiskDevice::Cdrom),
        BootDevice::Fd => disk(DiskDevice::Floppy),
        BootDevice::Network => domain
            .devices
            .interfaces
            .first()
            .map(|interface| &interface.info),
    };
    info.map(|info| info.id().to_owned())
}
