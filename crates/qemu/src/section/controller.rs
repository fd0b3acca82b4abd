//! `<controller>`: PCI bridges and ports, USB, SATA, SCSI, virtio-serial.

use std::collections::BTreeMap;

use passthru_domain::Board;
use passthru_domain::device::controller::{
    Controller, ControllerModel, ControllerTarget, ControllerType,
};
use passthru_domain::device::{Address, Item, VirtioModel};

use super::{iothreads, pci};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt};

/// Kinds in the order of their options. The section of disks makes floppy controllers.
const ORDER: [ControllerType; 8] = [
    ControllerType::Pci,
    ControllerType::Usb,
    ControllerType::Scsi,
    ControllerType::Ide,
    ControllerType::Sata,
    ControllerType::VirtioSerial,
    ControllerType::Ccid,
    ControllerType::Nvme,
];

/// Names the controllers, by kind, and within a kind by number. A PCI controller comes after the
/// one whose bus it is on, whatever their numbers: QEMU looks the bus up by name.
pub(crate) fn items(context: &Context<'_>) -> Vec<Item> {
    let controllers = &context.domain.devices.controllers;
    let mut items = Vec::new();
    for kind in ORDER {
        let mut of_kind: Vec<(usize, &Controller)> = controllers
            .iter()
            .enumerate()
            .filter(|(_, controller)| controller.kind == Some(kind))
            .collect();
        of_kind.sort_by_key(|(_, controller)| controller.index);
        if kind == ControllerType::Pci {
            of_kind = below_their_buses(of_kind);
        }
        items.extend(of_kind.iter().map(|(number, _)| Item::Controller(*number)));
    }

    items
}

/// Moves each PCI controller behind those that its bus is below, and keeps the order otherwise.
fn below_their_buses<'a>(sorted: Vec<(usize, &'a Controller)>) -> Vec<(usize, &'a Controller)> {
    let mut waiting: BTreeMap<Option<u32>, Vec<(usize, &'a Controller)>> = BTreeMap::new();
    for (number, controller) in &sorted {
        let of_index = waiting.entry(controller.index).or_default();
        of_index.push((*number, *controller));
    }

    let mut ordered = Vec::with_capacity(sorted.len());
    for (_, controller) in &sorted {
        // The way up ends at a bus that is on the line already, or at the root.
        let mut way_up = Vec::new();
        let mut index = controller.index;
        while let Some(of_index) = waiting.remove(&index) {
            index = of_index.first().and_then(|(_, above)| bus_of(above));
            way_up.push(of_index);
        }
        ordered.extend(way_up.into_iter().rev().flatten());
    }

    ordered
}

/// Returns the index of the bus that a PCI controller is on.
fn bus_of(controller: &Controller) -> Option<u32> {
    let at = controller.info.address.as_ref().and_then(Address::pci)?;
    Some(u32::from(at.bus))
}

/// Returns the options of a controller; none for a controller on the board.
pub(crate) fn device(context: &Context<'_>, controller: &Controller) -> Result<Vec<Opt>, Error> {
    let device = match controller.kind {
        Some(ControllerType::Pci) => pci_device(controller),
        Some(ControllerType::Usb) => usb(context, controller)?,
        Some(ControllerType::Scsi) => Some(scsi(controller)?),
        Some(ControllerType::Sata) => {
            (!is_built_in_sata(context, controller)).then(|| plain("ahci", controller))
        }
        Some(ControllerType::VirtioSerial) => Some(virtio_serial(controller)?),
        Some(ControllerType::Ccid) => Some(plain("usb-ccid", controller)),
        Some(ControllerType::Nvme) => {
            Some(plain("nvme", controller).maybe("serial", controller.serial.as_deref()))
        }
        Some(ControllerType::Ide | ControllerType::Fdc) | None => None,
        Some(kind @ (ControllerType::Xenbus | ControllerType::Isa)) => {
            return Err(Error::unsupported(format!("a controller of type '{kind}'")));
        }
    };
    let Some(device) = device else {
        return Ok(Vec::new());
    };
    let device = device.and(pci::address(context, &controller.info)?);
    Ok(vec![Opt::device(device)])
}

/// Returns whether a SATA controller is part of the chip set, as Q35's first one is. Its ports are
/// the buses `ide.0`, `ide.1` and so on.
pub(crate) fn is_built_in_sata(context: &Context<'_>, controller: &Controller) -> bool {
    context.board() == Board::Q35 && controller.index == Some(0)
}

/// Returns the controller of a kind with a number.
pub(crate) fn find<'a>(
    context: &Context<'a>,
    kind: ControllerType,
    index: u32,
) -> Option<&'a Controller> {
    let mut controllers = context.domain.devices.controllers.iter();
    controllers.find(|controller| controller.kind == Some(kind) && controller.index == Some(index))
}

fn plain(driver: &str, controller: &Controller) -> Object {
    Object::driver(driver).with("id", controller.info.id())
}

fn pci_device(controller: &Controller) -> Option<Object> {
    let target = controller.target.clone().unwrap_or_default();
    // `complete` names the emulated device; root buses have none.
    let driver = Object::driver(controller.model_name?.as_str());
    let id = controller.info.id();
    Some(match controller.model? {
        ControllerModel::PciBridge => driver
            .maybe("chassis_nr", number(target.chassis_nr))
            .with("id", id)
            .maybe("mem-reserve", mem_reserve(&target)),
        ControllerModel::PciExpanderBus | ControllerModel::PcieExpanderBus => driver
            .maybe("bus_nr", number(target.bus_nr))
            .with("id", id)
            .maybe("numa_node", target.node),
        ControllerModel::PcieRootPort | ControllerModel::PcieSwitchDownstreamPort => {
            port(driver, &target, id)
        }
        _ => driver.with("id", id),
    })
}

fn port(driver: Object, target: &ControllerTarget, id: &str) -> Object {
    driver
        .maybe("port", number(target.port))
        .maybe("chassis", number(target.chassis))
        .with("id", id)
        .maybe("hotplug", target.hotplug)
        .maybe("mem-reserve", mem_reserve(target))
        .maybe("pref64-reserve", target.pref64_reserve.map(bytes_of_kib))
}

fn mem_reserve(target: &ControllerTarget) -> Option<u64> {
    target.mem_reserve.map(bytes_of_kib)
}

const fn bytes_of_kib(kib: u64) -> u64 {
    kib.saturating_mul(1024)
}

fn number(number: Option<u8>) -> Option<u32> {
    number.map(u32::from)
}

/// Returns a USB controller. A companion has no id: it shares the bus of its USB 2 controller.
fn usb(context: &Context<'_>, controller: &Controller) -> Result<Option<Object>, Error> {
    let Some(driver) = usb_driver(context, controller)? else {
        return Ok(None);
    };
    let ports = controller.ports.filter(|_| driver.ends_with("xhci"));
    let device = Object::driver(driver).maybe("p2", ports).maybe("p3", ports);
    Ok(Some(match &controller.master {
        Some(master) => device
            .with("masterbus", format!("{}.0", controller.info.id()))
            .with("firstport", master.startport),
        None => device.with("id", controller.info.id()),
    }))
}

fn usb_driver(
    context: &Context<'_>,
    controller: &Controller,
) -> Result<Option<&'static str>, Error> {
    Ok(Some(match controller.model.or(context.machine.usb) {
        None | Some(ControllerModel::None) => return Ok(None),
        Some(ControllerModel::Piix3Uhci) => "piix3-usb-uhci",
        Some(ControllerModel::Piix4Uhci) => "piix4-usb-uhci",
        Some(ControllerModel::Vt82c686bUhci) => "vt82c686b-usb-uhci",
        Some(ControllerModel::PciOhci) => "pci-ohci",
        Some(ControllerModel::Ehci) => "usb-ehci",
        Some(ControllerModel::Ich9Ehci1) => "ich9-usb-ehci1",
        Some(ControllerModel::Ich9Uhci1) => "ich9-usb-uhci1",
        Some(ControllerModel::Ich9Uhci2) => "ich9-usb-uhci2",
        Some(ControllerModel::Ich9Uhci3) => "ich9-usb-uhci3",
        Some(ControllerModel::NecXhci) => "nec-usb-xhci",
        Some(ControllerModel::QemuXhci) => "qemu-xhci",
        Some(other) => {
            return Err(Error::unsupported(format!(
                "a USB controller of model '{other}'"
            )));
        }
    }))
}

fn scsi(controller: &Controller) -> Result<Object, Error> {
    let driver = match controller.model {
        Some(ControllerModel::Lsilogic) => "lsi",
        Some(ControllerModel::Lsisas1068) => "mptsas1068",
        Some(ControllerModel::Lsisas1078) => "megasas",
        Some(ControllerModel::Vmpvscsi) => "pvscsi",
        Some(ControllerModel::Ibmvscsi) => "spapr-vscsi",
        Some(ControllerModel::Dc390) => "dc390",
        Some(ControllerModel::Am53c974) => "am53c974",
        None | Some(ControllerModel::VirtioScsi | ControllerModel::Auto) => {
            return virtio(controller, "virtio-scsi");
        }
        Some(ControllerModel::VirtioTransitional | ControllerModel::VirtioNonTransitional) => {
            return virtio(controller, "virtio-scsi");
        }
        Some(other) => {
            return Err(Error::unsupported(format!(
                "a SCSI controller of model '{other}'"
            )));
        }
    };
    Ok(plain(driver, controller))
}

fn virtio(controller: &Controller, stem: &str) -> Result<Object, Error> {
    let generation = match controller.model {
        Some(ControllerModel::VirtioTransitional) => Some(VirtioModel::Transitional),
        Some(ControllerModel::VirtioNonTransitional) => Some(VirtioModel::NonTransitional),
        _ => None,
    };
    let device = plain(
        &pci::virtio_of(stem, generation, &controller.info)?,
        controller,
    );
    let Some(driver) = &controller.driver else {
        return Ok(device);
    };
    Ok(device
        .maybe("iothread", driver.iothread.map(iothreads::id))
        .maybe(
            "iothread-vq-mapping",
            driver.iothreads.as_ref().map(iothreads::mapping),
        )
        .maybe("ioeventfd", driver.ioeventfd)
        .maybe("num_queues", driver.queues)
        .maybe("cmd_per_lun", driver.cmd_per_lun)
        .maybe("max_sectors", driver.max_sectors)
        .and(pci::virtio_options(&driver.virtio)))
}

fn virtio_serial(controller: &Controller) -> Result<Object, Error> {
    let device = virtio(controller, "virtio-serial")?;
    Ok(device
        .maybe("max_ports", controller.ports)
        .maybe("vectors", controller.vectors))
}
