//! Host devices: unique devices, descriptors and drive addresses, and one iommufd object each.

use super::check::{Check, duplicates, span_of};
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

    let given = hostdevs
        .iter()
        .filter_map(|h| Some((h.iommufd_fd.as_ref()?, *h)));
    for (_, (fd, second)) in duplicates(given.map(|given| (given.0, given))) {
        check.error(
            &second.info.span,
            format!("the descriptor {fd} is given for two devices"),
        );
    }

    for hostdev in hostdevs {
        check_behind_vsmmu(check, hostdev);
        check_rom(check, hostdev);
    }

    check_fdgroup(check);
    check_objects(check);
    check_units(check);
}

/// Checks that `<iommufd>` of the domain names a descriptor only if it enables iommufd.
fn check_fdgroup(check: &mut Check<'_>) {
    let Some(iommufd) = &check.domain.iommufd else {
        return;
    };
    if let Some(group) = iommufd.fdgroup.as_ref().filter(|_| !iommufd.enabled) {
        let group = group.escape_debug();
        let message = format!("<iommufd enabled='no'> cannot have fdgroup='{group}'");
        check.error_with_hint(
            &iommufd.span,
            message,
            "set enabled='yes', or leave 'fdgroup' out",
        );
    }
}

/// Checks that no two SCSI devices share a unit, whether disks or host devices.
fn check_units(check: &mut Check<'_>) {
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
        // The check of disks reports two disks with one address.
        if matches!(second.1, Item::Disk(_)) {
            continue;
        }
        let [controller, bus, target, unit] = first.0;
        let one = devices.describe(first.1);
        let other = devices.describe(second.1);
        let message = format!(
            "{other} is at unit {controller}:{bus}:{target}:{unit} of the SCSI buses, \
             where {one} is already"
        );
        check.error(&span_of(devices.info(second.1)), message);
    }
}

/// Checks a device behind an accelerated vSMMU: it needs iommufd, with the object of the vSMMU.
fn check_behind_vsmmu(check: &mut Check<'_>, hostdev: &Hostdev) {
    let domain: &Domain = check.domain;
    let Some(vsmmu) = domain.vsmmu_of(hostdev).filter(|v| v.is_accelerated()) else {
        return;
    };
    let host = hostdev.host_name();
    let span = &hostdev.info.span;
    if domain.backend(hostdev) == Some(Backend::Type1) {
        let setting = if hostdev.iommufd() == Some(false) {
            "its <driver>"
        } else {
            "<iommufd> of the domain"
        };
        let message = format!(
            "hostdev {host} is behind an accelerated vSMMU, which needs iommufd; \
             {setting} disables it"
        );
        check.error_with_hint(span, message, "set <driver iommufd='yes'/>");
    }

    let own = domain.iommufd_of(hostdev);
    let other = vsmmu.iommufd_id().unwrap_or(DEFAULT_IOMMUFD);
    if own != other {
        let message =
            format!("hostdev {host} uses the iommufd object '{own}', but its vSMMU uses '{other}'");
        check.error(span, message);
    }
}

/// Checks that a disabled ROM has no other attributes.
fn check_rom(check: &mut Check<'_>, hostdev: &Hostdev) {
    let Some(rom) = &hostdev.info.rom else { return };
    if rom.enabled == Some(false) && (rom.bar.is_some() || rom.file.is_some()) {
        let message = "<rom enabled='no'> cannot have 'bar' or 'file'".to_owned();
        check.error(&hostdev.info.span, message);
    }
}

/// Checks that each iommufd object has one descriptor, from one source.
fn check_objects(check: &mut Check<'_>) {
    let domain = check.domain;
    let given = domain
        .devices
        .iommus
        .iter()
        .filter_map(|i| Some((i.iommufd_id()?, i.iommufd.as_ref()?.fd.as_ref()?, i)));
    let group = domain.iommufd.as_ref().and_then(|i| i.fdgroup.as_deref());
    for (id, fd, iommu) in given.clone() {
        if id == DEFAULT_IOMMUFD
            && let Some(group) = group
        {
            let message = format!(
                "the iommufd object '{id}' has both the descriptor {fd} and the fdgroup '{group}'"
            );
            check.error_with_hint(&iommu.info.span, message, "leave one of them out");
        }
    }

    for ((_, one, _), (id, other, iommu)) in duplicates(given.map(|object| (object.0, object))) {
        if one != other {
            let message =
                format!("the iommufd object '{id}' has two descriptors, {one} and {other}");
            check.error(&iommu.info.span, message);
        }
    }
}
