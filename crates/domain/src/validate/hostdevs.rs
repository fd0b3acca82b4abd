//! Devices of the host: each given once, and by one backend.

use super::{Check, duplicates};
use crate::model::backend::Backend;
use crate::model::device::disk::DiskBus;
use crate::model::device::hostdev::HostdevSource;
use crate::model::device::{Address, Hostdev, Item};
use crate::model::domain::Domain;
use crate::model::iommufd::DEFAULT_IOMMUFD;

pub(super) fn check(check: &mut Check<'_>) {
    let hostdevs: Vec<&Hostdev> = check.domain.devices.assigned().collect();
    for (_, second) in duplicates(hostdevs.iter().map(|h| (h.host_name(), *h))) {
        let message = format!(
            "the host device {} is given to the guest twice",
            second.host_name()
        );
        check.error(&second.info.span, message);
    }
    for (_, second) in duplicates(hostdevs.iter().filter_map(|h| Some((h.iommufd_fd?, *h)))) {
        let fd = second.iommufd_fd.unwrap_or_default();
        check.error(
            &second.info.span,
            format!("the descriptor {fd} is given for two devices"),
        );
    }
    for hostdev in hostdevs {
        behind_vsmmu(check, hostdev);
        rom(check, hostdev);
    }
    objects(check);
    units(check);
}

/// A unit of a SCSI bus is one device's: of a disk or of the host's.
fn units(check: &mut Check<'_>) {
    let devices = &check.domain.devices;
    let disks =
        (0..devices.disks.len()).filter(|n| devices.disks[*n].target.bus == Some(DiskBus::Scsi));
    let hostdevs = (0..devices.hostdevs.len())
        .filter(|n| matches!(devices.hostdevs[*n].source, HostdevSource::Scsi(_)));
    let items = disks.map(Item::Disk).chain(hostdevs.map(Item::Hostdev));
    let places = items.filter_map(|item| match &devices.info(item)?.address {
        Some(Address::Drive(at)) => Some((
            [at.controller, at.bus, at.target, at.unit].map(Option::unwrap_or_default),
            item,
        )),
        _ => None,
    });
    for (first, second) in duplicates(places.map(|(at, item)| (at, (at, item)))) {
        // Two disks in one place are said with the disks.
        if matches!(second.1, Item::Disk(_)) {
            continue;
        }
        let [controller, bus, target, unit] = first.0;
        let message = format!(
            "{} is at unit {controller}:{bus}:{target}:{unit} of the SCSI buses, where {} is already",
            devices.describe(second.1),
            devices.describe(first.1)
        );
        check.error(&super::span_of(devices.info(second.1)), message);
    }
}

/// Behind an accelerated vSMMU only iommufd works, with the object that the vSMMU works with.
fn behind_vsmmu(check: &mut Check<'_>, hostdev: &Hostdev) {
    let domain: &Domain = check.domain;
    let Some(vsmmu) = domain.vsmmu_of(hostdev).filter(|v| v.is_accelerated()) else {
        return;
    };
    let (host, span) = (hostdev.host_name(), &hostdev.info.span);
    if domain.backend(hostdev) == Some(Backend::Type1) {
        let who = if hostdev.iommufd() == Some(false) {
            "its <driver>"
        } else {
            "<iommufd> of the domain"
        };
        let message = format!(
            "hostdev {host} is behind an accelerated vSMMU, which needs iommufd; {who} disables it"
        );
        check.error_with_hint(span, message, "set <driver iommufd='yes'/>");
    }
    let (own, its) = (
        domain.iommufd_of(hostdev),
        vsmmu.iommufd_id().unwrap_or(DEFAULT_IOMMUFD),
    );
    if own != its {
        let message =
            format!("hostdev {host} uses the iommufd object '{own}', but its vSMMU uses '{its}'");
        check.error(span, message);
    }
}

fn rom(check: &mut Check<'_>, hostdev: &Hostdev) {
    let Some(rom) = &hostdev.info.rom else { return };
    if rom.enabled == Some(false) && (rom.bar.is_some() || rom.file.is_some()) {
        let message = "<rom enabled='no'> cannot have 'bar' or 'file'".to_owned();
        check.error(&hostdev.info.span, message);
    }
}

/// An object has one descriptor, from one source.
fn objects(check: &mut Check<'_>) {
    let domain = check.domain;
    let said = domain
        .devices
        .iommus
        .iter()
        .filter_map(|i| Some((i.iommufd_id()?, i.iommufd.as_ref()?.fd?, i)));
    let group = domain.iommufd.as_ref().and_then(|i| i.fdgroup.as_deref());
    for (id, fd, iommu) in said.clone() {
        if id == DEFAULT_IOMMUFD
            && let Some(group) = group
        {
            let message = format!(
                "the iommufd object '{id}' has both the descriptor {fd} and the fdgroup '{group}'"
            );
            check.error_with_hint(&iommu.info.span, message, "leave one of them out");
        }
    }
    for ((_, one, _), (id, other, iommu)) in duplicates(said.map(|said| (said.0, said))) {
        if one != other {
            let message =
                format!("the iommufd object '{id}' has two descriptors, {one} and {other}");
            check.error(&iommu.info.span, message);
        }
    }
}
