//! `<devices>`: the list of all kinds of device, and a way to name one device.

use super::chardev::{CharTargetType, Chardev};
use super::controller::ControllerModel;
use super::memballoon::MemballoonModel;
use super::video::VideoModel;
use super::{
    Address, Audio, Controller, ControllerType, Crypto, Disk, DisplayPassword, Filesystem,
    Graphics, Hostdev, Hub, Info, Input, Interface, Iommu, Memballoon, MemoryDevice, Panic,
    Redirdev, Redirfilter, Rng, Shmem, Smartcard, Sound, Tpm, Video, Vsock, Watchdog,
};
use crate::xml::text::{AbsolutePath, visit_as};
use crate::xml::{Element, Visitor};

/// Type of the field for a kind of device.
macro_rules! field {
    (many $device:ty) => { Vec<$device> };
    (one $device:ty) => { Option<$device> };
}

/// Visits the elements of a kind.
macro_rules! visit {
    (many $v:ident, $tag:literal, $field:expr) => {
        $v.children($tag, $field)
    };
    (one $v:ident, $tag:literal, $field:expr) => {
        $v.child($tag, $field)
    };
}

/// Number of a device within its kind, for a kind that a guest can have many of.
macro_rules! number {
    (many $n:ident) => {
        Some($n)
    };
    (one $n:ident) => {{
        let _ = $n;
        None
    }};
}

/// Alias and address of a device: a field, or a method if another device may hold them.
macro_rules! info {
    ($device:ident) => {
        &$device.info
    };
    ($device:ident by_method) => {
        $device.info()
    };
    (mut $device:ident) => {
        &mut $device.info
    };
    (mut $device:ident by_method) => {
        $device.info_mut()
    };
}

/// Defines [`Devices`] and [`Item`] from one list of kinds, in the order of the document.
///
/// A line has these parts:
/// - `many` or `one`: the number of elements that a guest can have;
/// - the field's name, the device's type and the element's tag;
/// - if devices of the kind have an alias: the name of the kind in [`Item`] and the stem of aliases
///   (`fs` for `fs0`), empty if `complete` has a rule for them.
macro_rules! devices {
    ($(
        $(#[$meta:meta])*
        $count:ident $field:ident: $device:ty, $tag:literal
        $(=> $item:ident, $stem:literal $($by_method:ident)?)?;
    )+) => {
        /// The devices of a guest by kind. Devices of one kind are in the order of the document.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Devices {
            /// Path of the emulator.
            pub emulator: Option<String>,
            $($(#[$meta])* pub $field: field!($count $device),)+
        }

        /// The name of one device of a guest: its kind, and its number within the kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Item {
            $($(
                #[doc = concat!("A `<", $tag, ">`.")]
                $item(usize),
            )?)+
        }

        impl Element for Devices {
            fn visit(&mut self, v: &mut dyn Visitor) {
                visit_as::<AbsolutePath>(&mut self.emulator, |path| v.leaf("emulator", path));
                $(visit!($count v, $tag, &mut self.$field);)+
            }
        }

        impl Devices {
            /// Elements of all kinds, also of those without an alias.
            pub(crate) const TAGS: &[&str] = &[$($tag),+];

            /// Returns the names of all devices that have an alias, in libvirt's order: aliases and
            /// addresses are numbered in this order.
            pub fn items(&self) -> Vec<Item> {
                let mut items = Vec::new();
                $($(items.extend((0..self.$field.as_slice().len()).map(Item::$item));)?)+
                items.sort_by_key(|item| item.rank());
                items
            }

            /// Returns alias and address of a device, if the device exists.
            pub fn info(&self, item: Item) -> Option<&Info> {
                match item {
                    $($(Item::$item(n) => {
                        let device = self.$field.as_slice().get(n)?;
                        Some(info!(device $($by_method)?))
                    })?)+
                }
            }

            /// Returns alias and address of a device, for a change.
            pub fn info_mut(&mut self, item: Item) -> Option<&mut Info> {
                match item {
                    $($(Item::$item(n) => {
                        let device = self.$field.as_mut_slice().get_mut(n)?;
                        Some(info!(mut device $($by_method)?))
                    })?)+
                }
            }
        }

        impl Item {
            /// Returns the kind's name, and the device's number if a guest can have several.
            const fn name(self) -> (&'static str, Option<usize>) {
                match self {
                    $($(Self::$item(n) => (stringify!($item), number!($count n)),)?)+
                }
            }

            /// Returns the alias of a device whose kind has no rule of its own: stem and number.
            pub(crate) fn usual_alias(self) -> String {
                match self {
                    $($(Self::$item(n) => format!(concat!($stem, "{}"), n),)?)+
                }
            }
        }
    };
}

devices! {
    /// Disks.
    many disks: Disk, "disk" => Disk, "";
    /// Controllers: the buses that other devices are on.
    many controllers: Controller, "controller" => Controller, "";
    /// Directories shared with the guest.
    many filesystems: Filesystem, "filesystem" => Filesystem, "fs";
    /// Network interfaces; one may be a device of the host.
    many interfaces: Interface, "interface" => Interface, "" by_method;
    /// Smart card readers.
    many smartcards: Smartcard, "smartcard" => Smartcard, "smartcard";
    /// Serial ports.
    many serials: Chardev, "serial" => Serial, "serial";
    /// Parallel ports.
    many parallels: Chardev, "parallel" => Parallel, "parallel";
    /// Consoles. On most machines the first console is the first serial port.
    many consoles: Chardev, "console" => Console, "console";
    /// Channels between guest and host.
    many channels: Chardev, "channel" => Channel, "channel";
    /// Mice, tablets and keyboards.
    many inputs: Input, "input" => Input, "input";
    /// Trusted platform modules.
    many tpms: Tpm, "tpm" => Tpm, "tpm";
    /// Outputs of the guest's screen.
    many graphics: Graphics, "graphics";
    /// Sound cards.
    many sounds: Sound, "sound" => Sound, "sound";
    /// Outputs of the guest's sound on the host.
    many audios: Audio, "audio";
    /// Graphics cards. `complete` puts the primary one first.
    many videos: Video, "video" => Video, "video";
    /// Devices of the host.
    many hostdevs: Hostdev, "hostdev" => Hostdev, "";
    /// USB devices that a client redirects to the guest.
    many redirdevs: Redirdev, "redirdev" => Redirdev, "redir";
    /// Filter for the USB devices that clients may redirect.
    one redirfilter: Redirfilter, "redirfilter";
    /// USB hubs.
    many hubs: Hub, "hub" => Hub, "hub";
    /// Watchdogs.
    many watchdogs: Watchdog, "watchdog" => Watchdog, "watchdog";
    /// Memory balloon.
    one memballoon: Memballoon, "memballoon" => Memballoon, "balloon";
    /// Random number generators.
    many rngs: Rng, "rng" => Rng, "rng";
    /// Memory modules, and memory that can be hotplugged.
    many memories: MemoryDevice, "memory" => Memory, "";
    /// Devices through which a guest reports its crash.
    many panics: Panic, "panic" => Panic, "panic";
    /// Memory shared between guests.
    many shmems: Shmem, "shmem" => Shmem, "shmem";
    /// Crypto devices.
    many cryptos: Crypto, "crypto" => Crypto, "crypto";
    /// Socket device between guest and host.
    one vsock: Vsock, "vsock" => Vsock, "vsock";
    /// Virtual IOMMUs.
    many iommus: Iommu, "iommu" => Iommu, "iommu";
}

impl Item {
    /// Returns the position of the kind in libvirt's order. Kinds with equal positions stay in the
    /// order of the document.
    const fn rank(self) -> u8 {
        match self {
            Self::Disk(_) => 0,
            Self::Filesystem(_) => 1,
            Self::Interface(_) => 2,
            Self::Hostdev(_) => 3,
            Self::Controller(_) => 4,
            Self::Memballoon(_) | Self::Vsock(_) => 6,
            _ => 5,
        }
    }
}

impl Devices {
    /// Returns an iterator over the devices of the host, in libvirt's order: first the interfaces
    /// that are devices of the host, then the other ones.
    pub fn assigned(&self) -> impl Iterator<Item = &Hostdev> + Clone {
        let interfaces = self.interfaces.iter();
        let assigned = interfaces.filter_map(|interface| interface.hostdev.as_ref());
        assigned.chain(&self.hostdevs)
    }

    /// Returns an iterator over the devices of the host, for changes.
    pub fn assigned_mut(&mut self) -> impl Iterator<Item = &mut Hostdev> {
        let interfaces = self.interfaces.iter_mut();
        let assigned = interfaces.filter_map(|interface| interface.hostdev.as_mut());
        assigned.chain(&mut self.hostdevs)
    }

    /// Returns the passwords of the guest's screens. They never stand on a command line.
    pub fn display_passwords(&self) -> Vec<DisplayPassword<'_>> {
        self.graphics
            .iter()
            .filter_map(Graphics::password)
            .collect()
    }

    /// Removes the passwords of the guest's screens.
    pub fn remove_display_passwords(&mut self) {
        for graphics in &mut self.graphics {
            graphics.passwd = None;
        }
    }

    /// Returns whether the first console is the first serial port, and not a device of its own.
    pub(crate) fn has_serial_console(&self) -> bool {
        let target = self.consoles.first().and_then(|c| c.target.as_ref());
        let kind = target.and_then(|target| target.kind);
        kind == Some(CharTargetType::Serial) && !self.serials.is_empty()
    }

    /// Returns the devices with a `<boot order=…/>` of their own, each with its order.
    pub fn boot_orders(&self) -> Vec<(u32, Item)> {
        let mut orders = Vec::new();
        for item in self.items() {
            if let Some(order) = self.info(item).and_then(Info::boot_order) {
                orders.push((order, item));
            }
        }

        orders
    }

    /// Returns the PCI address of a device, if it has one. The address of an element that stands
    /// for no device is ignored.
    pub fn pci_address(&self, item: Item) -> Option<passthru_pci::Address> {
        let info = self.info(item).filter(|_| !self.is_absent(item))?;
        info.address.as_ref().and_then(Address::pci)
    }

    /// Returns whether an element stands for no device, as a USB controller of model `none` does.
    pub(crate) fn is_absent(&self, item: Item) -> bool {
        match item {
            Item::Controller(n) => self.controllers.get(n).is_some_and(|controller| {
                controller.kind == Some(ControllerType::Usb)
                    && controller.model == Some(ControllerModel::None)
            }),
            Item::Memballoon(_) => self
                .memballoon
                .as_ref()
                .is_some_and(|balloon| balloon.model == Some(MemballoonModel::None)),
            Item::Video(n) => self
                .videos
                .get(n)
                .is_some_and(|video| video.model() == Some(VideoModel::None)),
            _ => false,
        }
    }

    /// Returns the name of a device for a message: `disk 'vda'`, `hostdev 0000:01:00.0`,
    /// `controller pci 3`.
    pub fn describe(&self, item: Item) -> String {
        match item {
            Item::Disk(n) => {
                let disk = self.disks.get(n);
                format!("disk '{}'", disk.map_or("", |disk| &disk.target.dev))
            }
            Item::Controller(n) => {
                let controller = self.controllers.get(n);
                controller.map_or_else(String::new, describe_controller)
            }
            Item::Hostdev(n) => {
                let hostdev = self.hostdevs.get(n);
                let name = hostdev.map(Hostdev::host_name).unwrap_or_default();
                format!("hostdev {name}")
            }
            other => match other.name() {
                (name, Some(n)) => format!("{} {n}", name.to_ascii_lowercase()),
                (name, None) => name.to_ascii_lowercase(),
            },
        }
    }

    /// Returns an iterator over the controllers of a kind.
    pub fn controllers_of(&self, kind: ControllerType) -> impl Iterator<Item = &Controller> {
        let controllers = self.controllers.iter();
        controllers.filter(move |controller| controller.kind == Some(kind))
    }

    /// Returns the first controller of a kind and index.
    pub fn controller(&self, kind: ControllerType, index: u32) -> Option<&Controller> {
        let mut controllers = self.controllers_of(kind);
        controllers.find(|controller| controller.index == Some(index))
    }

    /// Returns the index of the root bus or expander bus that a guest's PCI address is below. For
    /// buses that form a loop, which `validate` refuses, the index is one of theirs.
    pub(crate) fn root_bus_of(&self, address: passthru_pci::Address) -> u32 {
        let mut bus = u32::from(address.bus);
        for _ in 0..=u8::MAX {
            let controller = self.controller(ControllerType::Pci, bus);
            let Some(controller) = controller.filter(|c| bus != 0 && !c.is_expander()) else {
                break;
            };
            match controller.info.address.as_ref().and_then(Address::pci) {
                Some(above) => bus = u32::from(above.bus),
                None => break,
            }
        }

        bus
    }
}

fn describe_controller(controller: &Controller) -> String {
    let kind = controller.kind.map_or("", ControllerType::as_str);
    match controller.index {
        Some(index) => format!("controller {kind} {index}"),
        None => format!("controller {kind}"),
    }
}
