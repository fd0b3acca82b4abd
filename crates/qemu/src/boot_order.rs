//! The order of the devices that the guest boots from (`bootindex`).
//!
//! A domain gives the order at each device (`<boot order>`), or by classes of devices in `<os>`. Of
//! a class, the first device takes part in the order.

use passthru_domain::Domain;
use passthru_domain::device::Info;
use passthru_domain::device::disk::{Disk, DiskDevice};
use passthru_domain::device::interface::Interface;
use passthru_domain::os::BootDevice;

/// The boot order of a guest.
#[derive(Clone, Debug, Default)]
pub(crate) struct BootOrder {
    /// Alias and place of the device that stands for each class of `<os>`.
    by_class: Vec<(String, u32)>,
}

impl BootOrder {
    pub(crate) fn new(domain: &Domain) -> Self {
        let mut by_class = Vec::new();
        for (place, class) in (1u32..).zip(&domain.os.boot) {
            if let Some(info) = first_of_class(domain, *class) {
                by_class.push((info.id().to_owned(), place));
            }
        }

        Self { by_class }
    }

    /// Returns the place of a disk, counted from 1.
    pub(crate) fn of_disk(&self, disk: &Disk) -> Option<u32> {
        self.place(&disk.info)
    }

    /// Returns the place of a network interface, counted from 1.
    pub(crate) fn of_interface(&self, interface: &Interface) -> Option<u32> {
        self.place(&interface.info)
    }

    fn place(&self, info: &Info) -> Option<u32> {
        let mut by_class = self.by_class.iter();
        info.boot_order().or_else(|| {
            let (_, place) = by_class.find(|(alias, _)| alias == info.id())?;
            Some(*place)
        })
    }
}

/// Returns the first device of a class.
fn first_of_class(domain: &Domain, class: BootDevice) -> Option<&Info> {
    match class {
        BootDevice::Hd => first_disk(domain, DiskDevice::Disk),
        BootDevice::Cdrom => first_disk(domain, DiskDevice::Cdrom),
        BootDevice::Fd => first_disk(domain, DiskDevice::Floppy),
        BootDevice::Network => {
            let interface = domain.devices.interfaces.first()?;
            Some(&interface.info)
        }
    }
}

/// Returns the first disk of a kind. A LUN of the host (`device='lun'`) is a disk.
fn first_disk(domain: &Domain, kind: DiskDevice) -> Option<&Info> {
    let disk = domain.devices.disks.iter().find(|disk| {
        let own = match disk.device {
            None | Some(DiskDevice::Lun) => DiskDevice::Disk,
            Some(device) => device,
        };
        own == kind
    })?;
    Some(&disk.info)
}
