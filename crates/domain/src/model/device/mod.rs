//! `<devices>`: each kind of device in a file of its own.

pub mod address;
pub mod audio;
pub mod chardev;
pub mod controller;
pub(crate) mod controller_list;
pub mod crypto;
pub mod disk;
pub mod disk_driver;
pub mod disk_source;
pub mod filesystem;
pub mod graphics;
pub mod hostdev;
pub mod info;
pub mod input;
pub mod interface;
pub mod iommu;
pub mod item;
pub mod memballoon;
pub mod memory;
pub mod net;
pub mod net_driver;
pub mod net_port;
pub mod panic;
pub mod redirdev;
pub mod rng;
pub mod secret;
pub mod shmem;
pub mod sound;
pub mod teaming;
pub mod tpm;
pub mod video;
pub mod virtio;
pub mod vsock;
pub mod watchdog;

use crate::xml::text::{AbsolutePath, visit_as};
use crate::xml::{Element, Visitor};
use chardev::CharTargetType;

pub use address::{
    Address, CcidAddress, CcwAddress, DimmAddress, DriveAddress, IsaAddress, PciAddress,
    SpaprVioAddress, UsbAddress, VirtioSerialAddress,
};
pub use audio::Audio;
pub use chardev::{CharBackend, CharSource, CharSourceType, CharTarget, Chardev};
pub use controller::{Controller, ControllerType};
pub use crypto::Crypto;
pub use disk::Disk;
pub use filesystem::Filesystem;
pub use graphics::Graphics;
pub use hostdev::Hostdev;
pub use info::{Boot, Info};
pub use input::Input;
pub use interface::Interface;
pub use iommu::Iommu;
pub use item::Item;
pub use memballoon::Memballoon;
pub use memory::{MemoryDevice, MemoryModel};
pub use panic::Panic;
pub use redirdev::{Hub, Redirdev, Redirfilter, Smartcard};
pub use rng::Rng;
pub use shmem::Shmem;
pub use sound::Sound;
pub use tpm::Tpm;
pub use video::Video;
pub use virtio::{VirtioModel, VirtioOptions};
pub use vsock::Vsock;
pub use watchdog::Watchdog;

/// The devices of a guest, by kind; within a kind in the order of the document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Devices {
    /// Path of the emulator.
    pub emulator: Option<String>,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Controllers: buses that other devices are on.
    pub controllers: Vec<Controller>,
    /// Folders of the host.
    pub filesystems: Vec<Filesystem>,
    /// Network interfaces.
    pub interfaces: Vec<Interface>,
    /// Smart cards.
    pub smartcards: Vec<Smartcard>,
    /// Serial ports.
    pub serials: Vec<Chardev>,
    /// Parallel ports.
    pub parallels: Vec<Chardev>,
    /// Consoles; the first one is the first serial port on most machines.
    pub consoles: Vec<Chardev>,
    /// Channels between guest and host.
    pub channels: Vec<Chardev>,
    /// Mice, tablets, keyboards.
    pub inputs: Vec<Input>,
    /// Trusted platform modules.
    pub tpms: Vec<Tpm>,
    /// Where the screen can be seen.
    pub graphics: Vec<Graphics>,
    /// Sound cards.
    pub sounds: Vec<Sound>,
    /// Where sound goes on the host.
    pub audios: Vec<Audio>,
    /// Graphics cards; after `complete` the primary one is first.
    pub videos: Vec<Video>,
    /// Devices of the host.
    pub hostdevs: Vec<Hostdev>,
    /// Devices that clients redirect.
    pub redirdevs: Vec<Redirdev>,
    /// Which devices clients may redirect.
    pub redirfilter: Option<Redirfilter>,
    /// Hubs.
    pub hubs: Vec<Hub>,
    /// Watchdogs.
    pub watchdogs: Vec<Watchdog>,
    /// The memory balloon.
    pub memballoon: Option<Memballoon>,
    /// Random number generators.
    pub rngs: Vec<Rng>,
    /// Memory modules, and memory that comes and goes.
    pub memories: Vec<MemoryDevice>,
    /// Devices that report a crash.
    pub panics: Vec<Panic>,
    /// Memory that guests share.
    pub shmems: Vec<Shmem>,
    /// Devices that encrypt.
    pub cryptos: Vec<Crypto>,
    /// Sockets between guest and host.
    pub vsock: Option<Vsock>,
    /// Virtual IOMMUs.
    pub iommus: Vec<Iommu>,
}

impl Devices {
    /// Goes through the devices of the host: interfaces that are such, then the others, as libvirt
    /// does.
    pub fn assigned(&self) -> impl Iterator<Item = &Hostdev> + Clone {
        self.interfaces
            .iter()
            .filter_map(|i| i.hostdev.as_ref())
            .chain(&self.hostdevs)
    }

    /// Goes through the devices of the host, to change them.
    pub fn assigned_mut(&mut self) -> impl Iterator<Item = &mut Hostdev> {
        self.interfaces
            .iter_mut()
            .filter_map(|i| i.hostdev.as_mut())
            .chain(&mut self.hostdevs)
    }

    /// Returns whether the first console is the first serial port, and not a device of its own.
    pub(crate) fn has_serial_console(&self) -> bool {
        let target = self.consoles.first().and_then(|c| c.target.as_ref());
        let kind = target.and_then(|target| target.kind);
        kind == Some(CharTargetType::Serial) && !self.serials.is_empty()
    }

    /// Places in the order of the boot that devices have of their own, each with its device.
    pub fn boot_orders(&self) -> Vec<(u32, Item)> {
        let order = |item| Some((self.info(item)?.boot_order()?, item));
        self.items().into_iter().filter_map(order).collect()
    }
}

impl Element for Devices {
    fn visit(&mut self, v: &mut dyn Visitor) {
        visit_as::<AbsolutePath>(&mut self.emulator, |path| v.leaf("emulator", path));
        v.children("disk", &mut self.disks);
        v.children("controller", &mut self.controllers);
        v.children("filesystem", &mut self.filesystems);
        v.children("interface", &mut self.interfaces);
        v.children("smartcard", &mut self.smartcards);
        v.children("serial", &mut self.serials);
        v.children("parallel", &mut self.parallels);
        v.children("console", &mut self.consoles);
        v.children("channel", &mut self.channels);
        v.children("input", &mut self.inputs);
        v.children("tpm", &mut self.tpms);
        v.children("graphics", &mut self.graphics);
        v.children("sound", &mut self.sounds);
        v.children("audio", &mut self.audios);
        v.children("video", &mut self.videos);
        v.children("hostdev", &mut self.hostdevs);
        v.children("redirdev", &mut self.redirdevs);
        v.child("redirfilter", &mut self.redirfilter);
        v.children("hub", &mut self.hubs);
        v.children("watchdog", &mut self.watchdogs);
        v.child("memballoon", &mut self.memballoon);
        v.children("rng", &mut self.rngs);
        v.children("memory", &mut self.memories);
        v.children("panic", &mut self.panics);
        v.children("shmem", &mut self.shmems);
        v.children("crypto", &mut self.cryptos);
        v.child("vsock", &mut self.vsock);
        v.children("iommu", &mut self.iommus);
    }
}
