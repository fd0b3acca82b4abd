//! The devices that the VMM opens by itself, by the nodes of their IOMMU groups (type1).

use std::collections::BTreeMap;

use passthru_domain::{AssignedFunction, Backend, Domain};
use passthru_host::{Device, Host};
use passthru_pci::Address;

use crate::error::{Error, GroupRule};

/// Returns the functions that the VMM opens by itself: the hostdevs on type1, then the NVMe disks.
pub(crate) fn functions(domain: &Domain) -> Vec<Address> {
    let mut functions = domain.devices.assigned_functions();
    functions.retain(|function| is_on_type1(domain, function));
    functions.iter().map(|function| function.address).collect()
}

/// Returns the devices at addresses.
///
/// # Errors
/// If the host does not have a device, then [`Error::Host`].
pub(crate) fn devices(addresses: &[Address], host: &Host) -> Result<Vec<Device>, Error> {
    let mut devices = Vec::new();
    for address in addresses {
        devices.push(host.device(*address)?);
    }
    Ok(devices)
}

/// Checks that the devices of a domain in one IOMMU group can be opened together.
///
/// QEMU opens a group once for its hostdevs on type1, and once more for each NVMe disk. The kernel
/// refuses a second open of a group (`vfio_group_fops_open`). It also refuses to bind a character
/// device in an open group (`vfio_device_block_group`), both with `EBUSY`.
///
/// # Errors
/// - If two devices cannot share their group, then [`Error::SharedGroup`].
/// - If the host does not have a device, then [`Error::Host`].
pub(crate) fn check_groups(domain: &Domain, host: &Host) -> Result<(), Error> {
    let mut functions = domain.devices.assigned_functions();
    functions.retain(|function| domain.backend_of_function(function).is_some());
    if !functions
        .iter()
        .any(|function| is_on_type1(domain, function))
    {
        return Ok(());
    }

    let mut seen: BTreeMap<u32, &AssignedFunction<'_>> = BTreeMap::new();
    for function in &functions {
        let Some(group) = host.device(function.address)?.group else {
            continue;
        };
        let Some(other) = seen.insert(group, function) else {
            continue;
        };
        // NVMe disks come after hostdevs, so a disk is the second of a pair.
        let rule = if function.nvme_disk().is_some() {
            GroupRule::OwnGroup
        } else if is_on_type1(domain, function) != is_on_type1(domain, other) {
            GroupRule::OneBackend
        } else {
            continue;
        };
        return Err(Error::SharedGroup {
            device: function.address,
            owner: function.owner_name(),
            group,
            other: other.address,
            other_owner: other.owner_name(),
            rule,
        });
    }

    Ok(())
}

fn is_on_type1(domain: &Domain, function: &AssignedFunction<'_>) -> bool {
    domain.backend_of_function(function) == Some(Backend::Type1)
}

#[cfg(test)]
mod hotplug_tests;
#[cfg(test)]
mod tests;
