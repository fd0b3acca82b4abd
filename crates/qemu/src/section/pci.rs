//! Addresses of devices on their buses, and the driver of a virtio device on its bus.

use passthru_domain::Board;
use passthru_domain::device::address::{Address, PciAddress, UsbAddress};
use passthru_domain::device::controller::{ControllerModel, ControllerType};
use passthru_domain::device::info::Info;
use passthru_domain::device::{VirtioModel, VirtioOptions};

use crate::context::Context;
use crate::error::Error;
use crate::line::{Access, FilePassing, Object, Opt, Term, Want};

/// Returns the properties of a device's address:
///
/// - on PCI `bus`, `multifunction`, `addr` and `acpi-index`;
/// - on a channel subsystem `devno`;
/// - on USB `bus` and `port`;
/// - on virtio-mmio none.
pub(crate) fn address(context: &Context<'_>, info: &Info) -> Result<Object, Error> {
    match &info.address {
        Some(Address::Pci(pci)) => pci_address(context, info, pci),
        Some(Address::Ccw(ccw)) => Ok(Object::default().with("devno", ccw.to_string())),
        Some(Address::Usb(usb)) => Ok(Object::default()
            .with("bus", usb_bus(context, usb))
            .maybe("port", usb.port.as_deref())),
        Some(Address::VirtioMmio) => Ok(Object::default()),
        _ => Err(Error::Incomplete {
            device: device_name(info),
            lacks: "address",
        }),
    }
}

/// Returns QEMU's name of the USB bus of an address.
pub(crate) fn usb_bus(context: &Context<'_>, address: &UsbAddress) -> String {
    let index = address.bus.unwrap_or(0);
    let mut controllers = context.domain.devices.controllers_of(ControllerType::Usb);
    let controller = controllers
        .find(|controller| controller.index == Some(index) && controller.master.is_none());
    let id = controller.map_or("usb", |controller| controller.info.id());
    format!("{id}.0")
}

fn pci_address(context: &Context<'_>, info: &Info, pci: &PciAddress) -> Result<Object, Error> {
    let address = pci.address.ok_or_else(|| Error::Incomplete {
        device: device_name(info),
        lacks: "PCI address",
    })?;
    let bus = bus(context, address.bus).ok_or(Error::NoBus {
        device: device_name(info),
        bus: address.bus,
    })?;
    let slot = match address.function {
        0 => format!("0x{:x}", address.slot),
        function => format!("0x{:x}.0x{function:x}", address.slot),
    };
    Ok(Object::default()
        .with("bus", bus)
        .maybe("multifunction", pci.multifunction)
        .with("addr", slot)
        .maybe("acpi-index", info.acpi.as_ref().and_then(|acpi| acpi.index)))
}

/// Returns QEMU's name of a PCI bus of the guest; `None` if no controller provides the bus.
pub(crate) fn bus(context: &Context<'_>, number: u8) -> Option<String> {
    let mut controllers = context.domain.devices.controllers_of(ControllerType::Pci);
    let controller = controllers.find(|controller| controller.index == Some(number.into()))?;
    Some(match controller.model {
        Some(ControllerModel::PciRoot) => "pci.0".into(),
        Some(ControllerModel::PcieRoot) => "pcie.0".into(),
        _ => controller.info.id().into(),
    })
}

/// Returns the driver of a virtio device by its bus, such as `virtio-rng-pci` or
/// `virtio-rng-device`.
pub(crate) fn virtio(stem: &str, info: &Info) -> Result<String, Error> {
    virtio_of(stem, None, info)
}

/// Returns the driver of a virtio device by its bus and generation, such as
/// `virtio-rng-pci-transitional`.
pub(crate) fn virtio_of(
    stem: &str,
    model: Option<VirtioModel>,
    info: &Info,
) -> Result<String, Error> {
    let generation = match model {
        None | Some(VirtioModel::Virtio) => "",
        Some(VirtioModel::Transitional) => "-transitional",
        Some(VirtioModel::NonTransitional) => "-non-transitional",
    };
    let bus = match &info.address {
        Some(Address::VirtioMmio) => "device",
        Some(Address::Ccw(_)) => "ccw",
        Some(Address::Pci(_)) => return Ok(format!("{stem}-pci{generation}")),
        _ => {
            return Err(Error::Incomplete {
                device: device_name(info),
                lacks: "address",
            });
        }
    };
    match generation {
        "" => Ok(format!("{stem}-{bus}")),
        _ => Err(Error::unsupported(format!(
            "a transitional or non-transitional {stem} that is not on PCI"
        ))),
    }
}

/// Returns the properties that every virtio device has: `iommu_platform`, `ats`, `packed` and
/// `page-per-vq`.
pub(crate) fn virtio_options(options: &VirtioOptions) -> Object {
    Object::default()
        .maybe("iommu_platform", options.iommu)
        .maybe("ats", options.ats)
        .maybe("packed", options.packed)
        .maybe("page-per-vq", options.page_per_vq)
}

/// Returns the properties of the option ROM of a device: hidden, shown, or read from a file.
pub(crate) fn rom(info: &Info) -> Object {
    let Some(rom) = &info.rom else {
        return Object::default();
    };
    if rom.enabled == Some(false) || rom.file.as_deref() == Some("") {
        return Object::default().with("romfile", "");
    }
    let file = rom.file.as_deref().map(|path| {
        Term::from(Want::file(
            format!("{}-rom", info.id()),
            path,
            Access::ReadOnly,
            FilePassing::Copy,
        ))
    });
    Object::default()
        .maybe("rombar", rom.bar.map(u32::from))
        .maybe("romfile", file)
}

/// Puts `-device zpci` before a PCI device on s390x. It holds the device's ids.
pub(crate) fn with_zpci(context: &Context<'_>, info: &Info, mut options: Vec<Opt>) -> Vec<Opt> {
    if context.board() != Board::S390Ccw {
        return options;
    }
    let is_device = |option: &Opt| option.flag == "-device" && option.id() == Some(info.id());
    if let (Some(at), Some(zpci)) = (options.iter().position(is_device), zpci(info)) {
        options.insert(at, zpci);
    }
    options
}

fn zpci(info: &Info) -> Option<Opt> {
    let Some(Address::Pci(PciAddress {
        zpci: Some(zpci), ..
    })) = &info.address
    else {
        return None;
    };
    let uid = zpci.uid?;
    Some(Opt::device(
        Object::driver("zpci")
            .with("uid", u32::from(uid))
            .maybe("fid", zpci.fid)
            .with("target", info.id())
            .with("id", format!("zpci{uid}")),
    ))
}

/// Returns the name of a device for a message.
pub(crate) fn device_name(info: &Info) -> String {
    match info.id() {
        "" => "a device".into(),
        id => format!("device '{id}'"),
    }
}
