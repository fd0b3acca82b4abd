//! Devices by name: one way to go through all kinds of them.

use super::controller::ControllerType;
use super::{Address, Controller, Devices, Hostdev, Info};

/// How alias and address of a device are got at: as a field, or by a method where they may be
/// another's.
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

/// Defines the kinds of device: those that a guest has many of, each with its list, and those that
/// it has one of at most.
macro_rules! kinds {
    (
        many { $($(#[$meta:meta])* $many:ident: $list:ident $($by_method:ident)?,)+ }
        one { $($(#[$ometa:meta])* $one:ident: $slot:ident,)+ }
    ) => {
        /// Names one device of a guest: its kind, and its number among its like.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Item {
            $($(#[$meta])* $many(usize),)+
            $($(#[$ometa])* $one,)+
        }

        impl Devices {
            /// Names every device. The order of the kinds is libvirt's, in which numbers are given
            /// away.
            pub fn items(&self) -> Vec<Item> {
                let mut items = Vec::new();
                $(items.extend((0..self.$list.len()).map(Item::$many));)+
                $(items.extend(self.$slot.as_ref().map(|_| Item::$one));)+
                items
            }

            /// Returns alias and address of a device, where there is such a device.
            pub fn info(&self, item: Item) -> Option<&Info> {
                match item {
                    $(Item::$many(n) => self.$list.get(n).map(|d| info!(d $($by_method)?)),)+
                    $(Item::$one => self.$slot.as_ref().map(|d| &d.info),)+
                }
            }

            /// Returns alias and address of a device, to be changed.
            pub fn info_mut(&mut self, item: Item) -> Option<&mut Info> {
                match item {
                    $(Item::$many(n) => self.$list.get_mut(n).map(|d| info!(mut d $($by_method)?)),)+
                    $(Item::$one => self.$slot.as_mut().map(|d| &mut d.info),)+
                }
            }
        }

        impl Item {
            /// Returns the kind's name, and the number among its like where there can be several.
            const fn name(self) -> (&'static str, Option<usize>) {
                match self {
                    $(Self::$many(n) => (stringify!($many), Some(n)),)+
                    $(Self::$one => (stringify!($one), None),)+
                }
            }
        }
    };
}

kinds! {
    many {
        /// A disk.
        Disk: disks,
        /// A folder of the host.
        Filesystem: filesystems,
        /// A network interface, which may be a device of the host.
        Interface: interfaces by_method,
        /// A device of the host.
        Hostdev: hostdevs,
        /// A controller.
        Controller: controllers,
        /// A smart card.
        Smartcard: smartcards,
        /// A serial port.
        Serial: serials,
        /// A parallel port.
        Parallel: parallels,
        /// A console.
        Console: consoles,
        /// A channel between guest and host.
        Channel: channels,
        /// An input device.
        Input: inputs,
        /// A trusted platform module.
        Tpm: tpms,
        /// A sound card.
        Sound: sounds,
        /// A graphics card.
        Video: videos,
        /// A device that a client redirects.
        Redirdev: redirdevs,
        /// A hub.
        Hub: hubs,
        /// A watchdog.
        Watchdog: watchdogs,
        /// A random number generator.
        Rng: rngs,
        /// A memory device.
        Memory: memories,
        /// A device that reports a crash.
        Panic: panics,
        /// Memory that guests share.
        Shmem: shmems,
        /// A device that encrypts.
        Crypto: cryptos,
        /// A virtual IOMMU.
        Iommu: iommus,
    }
    one {
        /// The memory balloon.
        Memballoon: memballoon,
        /// Sockets between guest and host.
        Vsock: vsock,
    }
}

impl Devices {
    /// Returns the PCI address of a device, where it has one.
    pub fn pci_address(&self, item: Item) -> Option<passthru_pci::Address> {
        self.info(item)?.address.as_ref().and_then(Address::pci)
    }

    /// Names a device for a message: `disk 'vda'`, `hostdev 0000:01:00.0`, `controller pci 3`.
    pub fn describe(&self, item: Item) -> String {
        match item {
            Item::Disk(n) => format!("disk '{}'", self.disks.get(n).map_or("", |d| &d.target.dev)),
            Item::Controller(n) => self
                .controllers
                .get(n)
                .map_or_else(String::new, describe_controller),
            Item::Hostdev(n) => {
                format!(
                    "hostdev {}",
                    self.hostdevs
                        .get(n)
                        .map(Hostdev::host_name)
                        .unwrap_or_default()
                )
            }
            other => match other.name() {
                (name, Some(n)) => format!("{} {n}", name.to_ascii_lowercase()),
                (name, None) => name.to_ascii_lowercase(),
            },
        }
    }

    /// Goes through the controllers of a kind.
    pub fn controllers_of(&self, kind: ControllerType) -> impl Iterator<Item = &Controller> {
        self.controllers
            .iter()
            .filter(move |c| c.kind == Some(kind))
    }

    /// Returns the first controller of a kind and index.
    pub fn controller(&self, kind: ControllerType, index: u32) -> Option<&Controller> {
        self.controllers_of(kind).find(|c| c.index == Some(index))
    }
}

fn describe_controller(controller: &Controller) -> String {
    let kind = controller.kind.map_or("", ControllerType::as_str);
    match controller.index {
        Some(index) => format!("controller {kind} {index}"),
        None => format!("controller {kind}"),
    }
}
