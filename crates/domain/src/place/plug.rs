//! The kinds of PCI connection, and the kind that each device has.

use crate::model::device::chardev::CharTargetType;
use crate::model::device::controller::{Controller, ControllerModel, ControllerType};
use crate::model::device::disk::DiskBus;
use crate::model::device::hostdev::{Hostdev, HostdevModel, HostdevSource};
use crate::model::device::input::InputBus;
use crate::model::device::interface::{Interface, InterfaceModel};
use crate::model::device::iommu::IommuModel;
use crate::model::device::panic::PanicModel;
use crate::model::device::sound::SoundModel;
use crate::model::device::video::VideoModel;
use crate::model::device::watchdog::WatchdogModel;
use crate::model::device::{Devices, Item, VirtioModel};

/// The connection of a device to the bus above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plug {
    Pci,
    Pcie,
    PciBridge,
    PciExpander,
    PcieExpander,
    RootPort,
    UpstreamPort,
    DownstreamPort,
    DmiToPciBridge,
    PcieToPciBridge,
}

impl Plug {
    /// Returns the name of a device with this connection, for a message.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pci => "conventional PCI device",
            Self::Pcie => "PCI Express device",
            Self::PciBridge => "pci-bridge",
            Self::PciExpander => "pci-expander-bus",
            Self::PcieExpander => "pcie-expander-bus",
            Self::RootPort => "pcie-root-port",
            Self::UpstreamPort => "pcie-switch-upstream-port",
            Self::DownstreamPort => "pcie-switch-downstream-port",
            Self::DmiToPciBridge => "dmi-to-pci-bridge",
            Self::PcieToPciBridge => "pcie-to-pci-bridge",
        }
    }

    /// Returns whether the device is an endpoint, and not a bridge or port.
    pub(crate) const fn is_endpoint(self) -> bool {
        matches!(self, Self::Pci | Self::Pcie)
    }
}

/// Requirements of a device on its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Connection of the device.
    pub(crate) plug: Plug,
    /// Whether several devices of this kind share a slot, a function each.
    pub(crate) shares_slot: bool,
    /// Whether the device must be on the root bus.
    pub(crate) integrated: bool,
}

impl Need {
    /// Returns the requirements of a device that has a slot of its own on any bus.
    pub(crate) const fn plain(plug: Plug) -> Self {
        Self {
            plug,
            shares_slot: false,
            integrated: false,
        }
    }

    /// Returns the requirements of a PCI controller; `None` for a root bus.
    pub(crate) fn for_pci_controller(model: ControllerModel) -> Option<Self> {
        let plug = match model {
            ControllerModel::PciBridge => Plug::PciBridge,
            ControllerModel::PciExpanderBus => Plug::PciExpander,
            ControllerModel::PcieExpanderBus => Plug::PcieExpander,
            ControllerModel::DmiToPciBridge => Plug::DmiToPciBridge,
            ControllerModel::PcieToPciBridge => Plug::PcieToPciBridge,
            ControllerModel::PcieRootPort => Plug::RootPort,
            ControllerModel::PcieSwitchUpstreamPort => Plug::UpstreamPort,
            ControllerModel::PcieSwitchDownstreamPort => Plug::DownstreamPort,
            _ => return None,
        };
        Some(Self {
            shares_slot: plug == Plug::RootPort,
            ..Self::plain(plug)
        })
    }

    /// Returns the requirements of a device; `None` if it is not a PCI device.
    ///
    /// `express` tells whether the machine has PCI Express.
    pub(crate) fn for_device(devices: &Devices, item: Item, express: bool) -> Option<Self> {
        let pci = Self::plain(Plug::Pci);
        let pcie = if express {
            Self::plain(Plug::Pcie)
        } else {
            pci
        };
        match item {
            Item::Controller(n) => controller_need(devices.controllers.get(n)?, pci, pcie),
            Item::Disk(n) => {
                let disk = devices.disks.get(n)?;
                (disk.target.bus == Some(DiskBus::Virtio))
                    .then(|| virtio_need(disk.model, pci, pcie))
            }
            Item::Interface(n) => interface_need(devices.interfaces.get(n)?, pci, pcie),
            Item::Serial(n) => {
                let target = devices.serials.get(n)?.target.as_ref()?;
                (target.kind == Some(CharTargetType::PciSerial)).then_some(pci)
            }
            Item::Hostdev(n) => hostdev_need(devices.hostdevs.get(n)?, pci, pcie),
            Item::Rng(n) => Some(virtio_need(devices.rngs.get(n)?.model, pci, pcie)),
            Item::Memballoon(_) => {
                let model = devices.memballoon.as_ref()?.virtio()?;
                Some(virtio_need(Some(model), pci, pcie))
            }
            Item::Filesystem(n) => Some(virtio_need(devices.filesystems.get(n)?.model, pci, pcie)),
            Item::Vsock(_) => Some(virtio_need(devices.vsock.as_ref()?.model, pci, pcie)),
            Item::Crypto(_) => Some(pcie),
            Item::Shmem(_) => Some(pci),
            Item::Sound(n) => match devices.sounds.get(n)?.model? {
                SoundModel::Virtio => Some(pcie),
                SoundModel::Es1370 | SoundModel::Ac97 | SoundModel::Ich6 | SoundModel::Ich9 => {
                    Some(pci)
                }
                _ => None,
            },
            Item::Panic(n) => {
                let model = devices.panics.get(n)?.model;
                (model == Some(PanicModel::Pvpanic)).then_some(Self {
                    integrated: true,
                    ..pcie
                })
            }
            Item::Iommu(n) => match devices.iommus.get(n)?.model? {
                IommuModel::Virtio | IommuModel::Amd => Some(Self {
                    integrated: true,
                    ..pcie
                }),
                IommuModel::Intel | IommuModel::Smmuv3 | IommuModel::Smmuv3Dev => None,
            },
            Item::Input(n) => {
                let input = devices.inputs.get(n)?;
                (input.bus == Some(InputBus::Virtio)).then(|| virtio_need(input.model, pci, pcie))
            }
            Item::Watchdog(n) => {
                (devices.watchdogs.get(n)?.model == Some(WatchdogModel::I6300esb)).then_some(pci)
            }
            Item::Video(n) => match devices.videos.get(n)?.model()? {
                VideoModel::None | VideoModel::Ramfb => None,
                VideoModel::Virtio | VideoModel::Bochs => Some(pcie),
                _ => Some(pci),
            },
            Item::Memory(n) => devices.memories.get(n)?.is_virtio().then_some(pcie),
            Item::Smartcard(_)
            | Item::Parallel(_)
            | Item::Console(_)
            | Item::Channel(_)
            | Item::Tpm(_)
            | Item::Redirdev(_)
            | Item::Hub(_) => None,
        }
    }
}

/// Returns the requirements of a virtio device. A transitional one is conventional PCI.
fn virtio_need(model: Option<VirtioModel>, pci: Need, pcie: Need) -> Need {
    if model == Some(VirtioModel::Transitional) {
        pci
    } else {
        pcie
    }
}

/// Returns the requirements of a host device.
///
/// The host's own device is not examined: nearly all assignable devices are PCI Express.
fn hostdev_need(hostdev: &Hostdev, pci: Need, pcie: Need) -> Option<Need> {
    match (&hostdev.source, hostdev.model) {
        (HostdevSource::Pci(_), _) | (HostdevSource::Mdev(_), Some(HostdevModel::VfioPci)) => {
            Some(pcie)
        }
        (HostdevSource::ScsiHost(_), Some(HostdevModel::VirtioTransitional)) => Some(pci),
        (HostdevSource::ScsiHost(_), _) => Some(pcie),
        _ => None,
    }
}

fn interface_need(interface: &Interface, pci: Need, pcie: Need) -> Option<Need> {
    match (&interface.hostdev, &interface.model) {
        (Some(hostdev), _) => hostdev_need(hostdev, pci, pcie),
        (None, Some(InterfaceModel::UsbNet | InterfaceModel::SpaprVlan)) => None,
        // libvirt places a model that it does not know as a virtio card
        // (`qemuDomainDeviceCalculatePCIConnectFlags`).
        (
            None,
            None | Some(InterfaceModel::E1000e | InterfaceModel::Igb | InterfaceModel::Other(_)),
        ) => Some(pcie),
        (None, Some(model)) => Some(
            model
                .virtio()
                .map_or(pci, |model| virtio_need(Some(model), pci, pcie)),
        ),
    }
}

fn controller_need(controller: &Controller, pci: Need, pcie: Need) -> Option<Need> {
    use ControllerModel as Model;
    let model = controller.model;
    match controller.kind? {
        ControllerType::Pci => Need::for_pci_controller(model?),
        ControllerType::Usb => match model {
            Some(Model::None | Model::Qusb1 | Model::Qusb2) => None,
            Some(Model::NecXhci | Model::QemuXhci) => Some(pcie),
            _ => Some(pci),
        },
        ControllerType::Scsi => match model {
            Some(Model::VirtioScsi | Model::VirtioNonTransitional) => Some(pcie),
            Some(Model::Ibmvscsi | Model::Ncr53c90) => None,
            _ => Some(pci),
        },
        ControllerType::Ide | ControllerType::Sata => Some(pci),
        ControllerType::VirtioSerial if model == Some(Model::VirtioTransitional) => Some(pci),
        ControllerType::VirtioSerial | ControllerType::Nvme => Some(pcie),
        ControllerType::Fdc
        | ControllerType::Ccid
        | ControllerType::Xenbus
        | ControllerType::Isa => None,
    }
}
