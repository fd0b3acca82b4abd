//! `<hostdev>`: devices of the host, and the iommufd objects that they use.

use passthru_domain::IommufdObject;
use passthru_domain::device::hostdev::{
    GuestReset, Hostdev, HostdevModel, HostdevSource, MdevSource, ScsiHostSource, UsbSource,
};
use passthru_domain::device::{Address, Item, VirtioModel};

use super::{hostdev_scsi, pci};
use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt, Want, WantKind, on_off};

/// Returns the iommufd objects of the guest's devices.
pub(crate) fn iommufd_objects(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let objects = context.domain.iommufd_objects();
    Ok(objects
        .into_iter()
        .map(|object| iommufd(context, object))
        .collect())
}

/// Names the guest's devices of the host: those of `<interface>`, then those of `<hostdev>`.
pub(crate) fn items(context: &Context<'_>) -> Vec<Item> {
    let devices = &context.domain.devices;
    let interfaces = devices.interfaces.iter().enumerate();
    let mut items: Vec<Item> = interfaces
        .filter(|(_, interface)| interface.hostdev.is_some())
        .map(|(number, _)| Item::Interface(number))
        .collect();
    items.extend((0..devices.hostdevs.len()).map(Item::Hostdev));
    items
}

/// Returns `-object iommufd`. On a standalone line, QEMU opens `/dev/iommu` by itself.
fn iommufd(context: &Context<'_>, object: IommufdObject) -> Opt {
    if context.is_standalone() {
        return Opt::object(Object::qom("iommufd", object.id));
    }
    managed_iommufd(object)
}

/// Returns `-object iommufd` with a descriptor of the manager.
pub(crate) fn managed_iommufd(object: IommufdObject) -> Opt {
    let IommufdObject { id, fd: given } = object;
    let fd = Want {
        name: id.clone(),
        kind: WantKind::Iommufd { given },
    };
    Opt::object(Object::qom("iommufd", id).with("fd", fd))
}

/// Returns the options of a device; none for one that is only kept from its host driver.
pub(crate) fn device(context: &Context<'_>, hostdev: &Hostdev) -> Result<Vec<Opt>, Error> {
    if hostdev.is_unassigned() {
        return Ok(Vec::new());
    }
    let device = match &hostdev.source {
        HostdevSource::Pci(pci) => vfio_pci(context, hostdev, pci.address)?,
        HostdevSource::Mdev(mdev) => vfio_mdev(context, hostdev, mdev)?,
        HostdevSource::Usb(usb) => usb_host(context, hostdev, usb)?,
        HostdevSource::ScsiHost(target) => vhost_scsi(context, hostdev, target)?,
        HostdevSource::Scsi(scsi) => return hostdev_scsi::device(context, hostdev, scsi),
    };
    Ok(vec![Opt::device(device)])
}

/// Returns `-device vfio-pci`: with an open cdev for iommufd, else with the address on the host.
fn vfio_pci(
    context: &Context<'_>,
    hostdev: &Hostdev,
    host: passthru_pci::Address,
) -> Result<Object, Error> {
    let by_host = context.is_standalone() || !context.uses_iommufd(hostdev);
    // The device with the firmware's framebuffer cannot be hotplugged.
    let driver = if hostdev.ramfb == Some(true) {
        "vfio-pci-nohotplug"
    } else {
        "vfio-pci"
    };
    let device = Object::driver(driver)
        .maybe("host", by_host.then(|| host.to_string()))
        .with("id", hostdev.info.id())
        .maybe("display", hostdev.display.map(on_off))
        .maybe("ramfb", hostdev.ramfb.filter(|ramfb| *ramfb))
        .and(backend(context, hostdev, host));
    Ok(device.and(common(context, hostdev)?))
}

/// Returns the iommufd object of a PCI device and its open cdev; nothing for type1.
fn backend(context: &Context<'_>, hostdev: &Hostdev, host: passthru_pci::Address) -> Object {
    if !context.uses_iommufd(hostdev) {
        return Object::default();
    }
    let iommufd = context.domain.iommufd_of(hostdev).to_owned();
    let kind = WantKind::Vfio {
        host,
        iommufd: iommufd.clone(),
        given: hostdev.iommufd_fd.clone(),
    };
    let fd = (!context.is_standalone()).then(|| Want {
        name: hostdev.info.id().into(),
        kind,
    });
    Object::default().with("iommufd", iommufd).maybe("fd", fd)
}

/// Returns boot order, failover partner, address and option ROM.
fn common(context: &Context<'_>, hostdev: &Hostdev) -> Result<Object, Error> {
    let boot = hostdev.info.boot.as_ref();
    let partner = hostdev
        .teaming
        .as_ref()
        .and_then(|teaming| teaming.persistent.as_deref());
    Ok(Object::default()
        .maybe("failover_pair_id", partner)
        .maybe("bootindex", boot.map(|boot| boot.order))
        .maybe("loadparm", boot.and_then(|boot| boot.loadparm.as_deref()))
        .and(pci::address(context, &hostdev.info)?)
        .and(pci::rom(&hostdev.info)))
}

/// Returns `-device vfio-pci`, `vfio-ccw` or `vfio-ap` for a mediated device. QEMU opens the device
/// by itself.
fn vfio_mdev(context: &Context<'_>, hostdev: &Hostdev, mdev: &MdevSource) -> Result<Object, Error> {
    let (driver, is_pci) = match hostdev.model {
        Some(HostdevModel::VfioCcw) => ("vfio-ccw", false),
        Some(HostdevModel::VfioAp) => ("vfio-ap", false),
        _ if hostdev.ramfb == Some(true) => ("vfio-pci-nohotplug", true),
        _ => ("vfio-pci", true),
    };
    let iommufd = context
        .uses_iommufd(hostdev)
        .then(|| context.domain.iommufd_of(hostdev).to_owned());
    let device = Object::driver(driver)
        .with("id", hostdev.info.id())
        .with("sysfsdev", format!("/sys/bus/mdev/devices/{}", mdev.uuid))
        .maybe("display", hostdev.display.filter(|_| is_pci).map(on_off))
        .maybe("ramfb", hostdev.ramfb.filter(|ramfb| *ramfb))
        .maybe("iommufd", iommufd);
    if hostdev.model == Some(HostdevModel::VfioAp) {
        return Ok(device);
    }
    Ok(device.and(common(context, hostdev)?))
}

/// Returns `-device usb-host`: by bus and device, by bus and port, or by vendor and product.
fn usb_host(context: &Context<'_>, hostdev: &Hostdev, usb: &UsbSource) -> Result<Object, Error> {
    let at = usb.address.as_ref();
    let node = at.and_then(|at| Some(format!("/dev/bus/usb/{:03}/{:03}", at.bus?, at.device?)));
    let by_port = at.filter(|at| at.device.is_none());
    let by_id = at.is_none();
    let (resets, all) = match usb.guest_reset {
        None => (None, None),
        Some(GuestReset::Off) => (Some(false), None),
        Some(GuestReset::Uninitialized) => (Some(true), Some(false)),
        Some(GuestReset::On) => (Some(true), Some(true)),
    };
    Ok(Object::driver("usb-host")
        .maybe("hostdevice", node)
        .maybe("hostbus", by_port.and_then(|at| at.bus))
        .maybe("hostport", by_port.and_then(|at| at.port.as_deref()))
        .maybe("vendorid", usb.vendor.filter(|_| by_id).map(u32::from))
        .maybe("productid", usb.product.filter(|_| by_id).map(u32::from))
        .with("id", hostdev.info.id())
        .maybe("guest-reset", resets)
        .maybe("guest-resets-all", all)
        .maybe("bootindex", hostdev.info.boot_order())
        .and(pci::address(context, &hostdev.info)?))
}

/// Returns `-device vhost-scsi-pci` or `vhost-scsi-ccw`, for a target that the kernel serves.
fn vhost_scsi(
    context: &Context<'_>,
    hostdev: &Hostdev,
    target: &ScsiHostSource,
) -> Result<Object, Error> {
    let generation = match hostdev.model {
        Some(HostdevModel::VirtioTransitional) => Some(VirtioModel::Transitional),
        Some(HostdevModel::VirtioNonTransitional) => Some(VirtioModel::NonTransitional),
        _ => None,
    };
    let id = hostdev.info.id();
    let vhost = Want {
        name: id.into(),
        kind: WantKind::Vhost {
            path: "/dev/vhost-scsi".into(),
        },
    };
    Ok(
        Object::driver(pci::virtio_of("vhost-scsi", generation, &hostdev.info)?)
            .maybe("wwpn", target.wwpn.as_deref())
            .maybe("vhostfd", (!context.is_standalone()).then_some(vhost))
            .with("id", id)
            .and(pci::address(context, &hostdev.info)?),
    )
}

/// Returns `-object acpi-generic-initiator`: the NUMA nodes that consist of a device. They are
/// numbered through the guest.
pub(crate) fn initiators(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let mut options = Vec::new();
    for hostdev in context
        .domain
        .devices
        .assigned()
        .filter(|h| matches!(h.info.address, Some(Address::Pci(_))))
    {
        for node in hostdev
            .info
            .acpi
            .iter()
            .flat_map(|acpi| &acpi.nodeset)
            .flat_map(passthru_domain::IdSet::iter)
        {
            let id = format!("gi{}", options.len());
            let object =
                Object::qom("acpi-generic-initiator", id).with("pci-dev", hostdev.info.id());
            options.push(Opt::object(object.with("node", node)));
        }
    }

    Ok(options)
}
