//! `<hostdev>`: devices of the host, and the iommufd objects that they go with.

use super::opt::{Object, Opt};
use super::want::{Want, What};
use super::{Context, Error, pci};
use passthru_domain::IommufdObject;
use passthru_domain::device::hostdev::Hostdev;

pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let objects = context.domain.iommufd_objects().into_iter().map(|object| iommufd(context, object));
    let devices = context.domain.devices.hostdevs.iter();
    let devices = devices.map(|hostdev| vfio_pci(context, hostdev)).collect::<Result<Vec<_>, _>>()?;
    Ok(objects.chain(devices).collect())
}

/// `-object iommufd`: an open /dev/iommu; standalone, QEMU opens it by itself.
fn iommufd(context: &Context<'_>, object: IommufdObject) -> Opt {
    let IommufdObject { id, fd: number, fdgroup } = object;
    let fd = (!context.is_standalone())
        .then(|| Want { name: id.clone(), what: What::Iommufd { number, fdgroup } });
    Opt::object(Object::qom("iommufd", id).maybe("fd", fd))
}

/// `-device vfio-pci`: by an open cdev with iommufd, by the host's address otherwise.
fn vfio_pci(context: &Context<'_>, hostdev: &Hostdev) -> Result<Opt, Error> {
    let by_host = context.is_standalone() || !context.uses_iommufd(hostdev);
    let device = Object::driver("vfio-pci")
        .maybe("host", by_host.then(|| hostdev.source.address.to_string()))
        .with("id", hostdev.info.id())
        .and(backend(context, hostdev))
        .maybe("bootindex", hostdev.info.boot_order())
        .and(pci::address(context, &hostdev.info)?)
        .and(pci::rom(&hostdev.info));
    Ok(Opt::device(device))
}

fn backend(context: &Context<'_>, hostdev: &Hostdev) -> Object {
    if !context.uses_iommufd(hostdev) {
        return Object::default();
    }
    let iommufd = context.domain.iommufd_of(hostdev).to_owned();
    let what =
        What::Vfio { host: hostdev.source.address, iommufd: iommufd.clone(), number: hostdev.iommufd_fd };
    let fd = (!context.is_standalone()).then(|| Want { name: hostdev.info.id().into(), what });
    Object::default().with("iommufd", iommufd).maybe("fd", fd)
}
