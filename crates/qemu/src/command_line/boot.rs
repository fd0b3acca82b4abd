//! What the guest boots: `-boot`, a kernel given directly, and the order among devices.
//!
//! The order is always given by `bootindex` at each device. A domain says it there, or by classes
//! of devices: then the first device of a class has the class's place.

use super::opt::{List, Opt};
use super::want::{Access, By, Want};
use super::{Context, Error};
use passthru_domain::Domain;
use passthru_domain::device::disk::{Disk, DiskDevice};
use passthru_domain::device::interface::Interface;
use passthru_domain::os::BootDevice;

/// `-boot`, `-kernel` and what goes with it.
pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let menu = context.domain.os.bootmenu.as_ref();
    let enable = menu.and_then(|menu| menu.enable);
    let timeout = menu
        .and_then(|menu| menu.timeout)
        .filter(|_| enable == Some(true));
    let boot = List::headless()
        .maybe("menu", enable)
        .maybe("reboot-timeout", reboot_timeout(context))
        .maybe("splash-time", timeout.map(u32::from))
        .with("strict", true);
    Ok([Opt::list("-boot", boot)]
        .into_iter()
        .chain(kernel(context.domain))
        .collect())
}

/// -1 is a value here, and no list has negative numbers but as text.
fn reboot_timeout(context: &Context<'_>) -> Option<String> {
    let timeout = context.domain.os.bios.as_ref()?.reboot_timeout?;
    Some(timeout.to_string())
}

fn kernel(domain: &Domain) -> Vec<Opt> {
    let os = &domain.os;
    let file = |flag, name: &str, path: &Option<String>| {
        let want = Want::file(name, path.as_deref()?, Access::ReadOnly, By::Copy);
        Some(Opt::plain(flag, want))
    };
    let options = [
        file("-kernel", "kernel", &os.kernel),
        file("-initrd", "initrd", &os.initrd),
        os.cmdline
            .as_deref()
            .map(|cmdline| Opt::plain("-append", cmdline)),
        file("-dtb", "dtb", &os.dtb),
        file("-shim", "shim", &os.shim),
    ];
    options.into_iter().flatten().collect()
}

/// The places in the boot order that device classes have, and which devices stand for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Indices {
    /// Aliases of devices, with their places.
    by_class: Vec<(String, u32)>,
}

impl Indices {
    pub(super) fn of(domain: &Domain) -> Self {
        let places = (1u32..).zip(&domain.os.boot);
        let by_class = places.filter_map(|(place, class)| Some((first_of(domain, *class)?, place)));
        Self {
            by_class: by_class.collect(),
        }
    }

    pub(super) fn of_disk(&self, disk: &Disk) -> Option<u32> {
        disk.info
            .boot_order()
            .or_else(|| self.by_alias(disk.info.id()))
    }

    pub(super) fn of_interface(&self, interface: &Interface) -> Option<u32> {
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
