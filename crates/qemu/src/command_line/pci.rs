//! Where a device is: the `bus` and `addr` of a PCI device, the model of a virtio device.

use super::opt::Object;
use super::{Context, Error};
use passthru_domain::Board;
use passthru_domain::device::address::{Address, PciAddress};
use passthru_domain::device::controller::{Controller, ControllerModel, ControllerType};
use passthru_domain::device::info::Info;

/// Returns `bus`, `multifunction` and `addr` of a device; nothing for one on the virtio-mmio bus.
pub(super) fn address(context: &Context<'_>, info: &Info) -> Result<Object, Error> {
    match &info.address {
        Some(Address::Pci(pci)) => pci_address(context, info, pci),
        Some(Address::VirtioMmio) => Ok(Object::default()),
        _ => Err(Error::Incomplete { device: device_name(info), lacks: "PCI address" }),
    }
}

fn pci_address(context: &Context<'_>, info: &Info, pci: &PciAddress) -> Result<Object, Error> {
    let lacking = || Error::Incomplete { device: device_name(info), lacks: "PCI address" };
    let address = pci.address.ok_or_else(lacking)?;
    let bus =
        bus(context, address.bus).ok_or(Error::NoBus { device: device_name(info), bus: address.bus })?;
    let slot = match address.function {
        0 => format!("0x{:x}", address.slot),
        function => format!("0x{:x}.0x{function:x}", address.slot),
    };
    Ok(Object::default()
        .with("bus", bus)
        .maybe("multifunction", pci.multifunction.filter(|multifunction| *multifunction))
        .with("addr", slot))
}

/// Returns QEMU's name of the guest's PCI bus of that number.
pub(super) fn bus(context: &Context<'_>, number: u8) -> Option<String> {
    let makes = |controller: &&Controller| {
        controller.kind == Some(ControllerType::Pci) && controller.index == Some(number.into())
    };
    let controller = context.domain.devices.controllers.iter().find(makes)?;
    Some(match controller.model {
        Some(ControllerModel::PciRoot) => "pci.0".into(),
        Some(ControllerModel::PcieRoot) => "pcie.0".into(),
        _ => controller.info.id().into(),
    })
}

/// Returns the driver of a virtio device by the bus it is on: `virtio-rng-pci`, `virtio-rng-device`.
pub(super) fn virtio(context: &Context<'_>, stem: &str, info: &Info) -> Result<String, Error> {
    match &info.address {
        _ if context.board() == Board::S390Ccw && !matches!(info.address, Some(Address::Pci(_))) => {
            Err(Error::unsupported_on(format!("{stem} as a channel device"), context.machine.arch))
        }
        Some(Address::VirtioMmio) => Ok(format!("{stem}-device")),
        _ => Ok(format!("{stem}-pci")),
    }
}

/// Names a device in messages.
pub(super) fn device_name(info: &Info) -> String {
    match info.id() {
        "" => "a device".into(),
        id => format!("device '{id}'"),
    }
}
