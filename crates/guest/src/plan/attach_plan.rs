//! The plan of an attach: from a document to the operations, changing nothing.

use std::collections::BTreeMap;

use passthru_domain::device::hostdev::Hostdev;
use passthru_domain::device::{Devices, Item};
use passthru_domain::{Backend, DeviceDocument, Domain, Note};
use passthru_host::{Host, Request};
use passthru_pci::Address;

use crate::error::Error;
use crate::op::ledger::Ledger;
use crate::op::op::Op;
use crate::plan::detach_plan::remove_parts;
use crate::plan::hotplug::Hotplug;
use crate::plan::memlock::Memlock;
use crate::plan::plug_ops::PluggedDevice;
use crate::plan::start_ops::take_devices;
use crate::plan::start_plan::{backends, requests, size_of_file};
use crate::plan::type1::{self, check_groups};
use crate::start::images;
use crate::transaction::{HotplugError, Step};

/// Choices of the caller for an attach.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachSettings {
    /// Backend of the devices that name none. If it is absent, then type1 if another device of the
    /// guest is on type1, or the kernel or QEMU has no iommufd; else iommufd.
    pub backend: Option<Backend>,
}

/// Plan of an attach.
#[derive(Debug)]
pub(crate) struct AttachPlan {
    pub(crate) domain: Domain,
    pub(crate) memlock: Memlock,
    pub(crate) aliases: Vec<String>,
    pub(crate) requests: Vec<Request>,
    pub(crate) steps: Vec<Step>,
    pub(crate) media: BTreeMap<String, Option<String>>,
    pub(crate) notes: Vec<Note>,
}

/// A device of a document.
struct Device {
    item: Item,
    alias: String,
    /// Address on the host, if the device is one of the host's.
    address: Option<Address>,
    /// Backend, if the device is one of the host's.
    backend: Option<Backend>,
}

impl AttachPlan {
    /// Plans the attach of the devices of a document.
    ///
    /// # Errors
    /// - If the guest cannot get a device, then [`Error::CommandLine`] or [`HotplugError`].
    /// - If the host does not have a device, then [`Error::Host`].
    pub(crate) fn new(
        document: DeviceDocument,
        settings: AttachSettings,
        before: &Domain,
        hotplug: &mut Hotplug,
        ledger: &Ledger,
        limit: Option<u64>,
    ) -> Result<Self, Error> {
        let plugged = before.plug(document, &hotplug.capabilities, &hotplug.used)?;
        let mut domain = plugged.domain;
        let mut notes = plugged.notes;
        let reason = reason_for_type1(before, hotplug, ledger.host());
        let reason = reason.filter(|_| settings.backend.is_none());
        let backend = match (settings.backend, &reason) {
            (Some(backend), _) => backend,
            (None, Some(_)) => Backend::Type1,
            (None, None) => Backend::Iommufd,
        };
        if let Some(reason) = reason.filter(|_| names_no_backend(&domain, &plugged.items)) {
            let message = format!("backend {backend} for the devices that name none: {reason}");
            notes.push(Note::new(message, None));
        }

        domain.set_default_backend(backend);
        check_backends(&domain)?;
        let mut devices = Vec::new();
        for item in &plugged.items {
            devices.push(Device::new(&domain, *item)?);
        }
        let chains = images::complete_chains(&mut domain, &ledger.opener());
        Error::check_none(chains.errors.into_iter().map(Error::from).collect())?;

        let mut taken = Vec::from_iter(devices.iter().filter_map(|device| device.address));
        taken.sort_unstable();
        let mut requests = requests(&domain);
        requests.retain(|request| taken.binary_search(&request.address).is_ok());

        check_groups(&domain, ledger.host())?;
        check_own_folder(&domain, &devices, ledger)?;

        let mut ops = Vec::new();
        let mut new_backends = backends(&domain);
        new_backends.retain(|backend| !backends(before).contains(backend));
        if !new_backends.is_empty() {
            let backends = new_backends.iter().map(ToString::to_string).collect();
            ops.push(Op::LoadModules { backends });
        }

        ops.extend(take_devices(&requests, ledger.host())?);
        let opener = ledger.opener();
        let memlock = Memlock::for_domain(&domain, &|path| size_of_file(path, &opener));
        if memlock.needed() > 0 {
            ops.extend(raise_memlock(&memlock, limit));
        }
        ops.extend(add_objects(before, &domain, hotplug)?);
        for request in &requests {
            let device = request.address;
            ops.push(Op::HandOver { device });
        }

        let mut plugged_device = PluggedDevice {
            domain: &domain,
            header_named: &chains.header_named,
            item: Item::Disk(0),
            alias: "",
            address: None,
        };
        for device in &devices {
            plugged_device.item = device.item;
            plugged_device.alias = &device.alias;
            plugged_device.address = device.address;
            if let (Some(address), Some(Backend::Type1)) = (device.address, device.backend) {
                ops.extend(add_node(address, before, &ops, ledger.host())?);
            }
            ops.extend(plugged_device.ops(hotplug)?);
        }

        let mut steps: Vec<Step> = ops.into_iter().map(Step::Do).collect();
        let mut media = BTreeMap::new();
        plugged_device.address = None;
        for drive in &plugged.media {
            let alias = domain.devices.info(*drive).map_or("", |info| info.id());
            plugged_device.item = *drive;
            plugged_device.alias = alias;
            let (parts, node) = plugged_device.medium_ops(hotplug)?;
            steps.extend(parts.into_iter().map(Step::Do));
            steps.push(Step::Do(Op::ChangeMedium {
                drive: alias.to_owned(),
                from: hotplug.media.get(alias).cloned().flatten(),
                to: node.clone(),
            }));
            steps.extend(remove_parts(alias, hotplug, ledger.entries()));
            media.insert(alias.to_owned(), node);
        }

        Ok(Self {
            steps,
            media,
            domain,
            memlock,
            aliases: devices.into_iter().map(|device| device.alias).collect(),
            requests,
            notes,
        })
    }
}

impl Device {
    fn new(domain: &Domain, item: Item) -> Result<Self, Error> {
        let devices = &domain.devices;
        let alias = devices.info(item).map_or("", |info| info.id()).to_owned();
        let Some(hostdev) = hostdev(devices, item) else {
            return Ok(Self {
                item,
                alias,
                address: None,
                backend: None,
            });
        };
        let Some(address) = hostdev.pci() else {
            return Err(unsupported(domain, item, "it is not a PCI device").into());
        };
        if hostdev.iommufd_fd.is_some() {
            let reason = "a descriptor that the caller handed in is taken at the start alone";
            return Err(unsupported(domain, item, reason).into());
        }

        Ok(Self {
            item,
            alias,
            address: Some(address),
            backend: domain.backend(hostdev),
        })
    }
}

/// Returns whether the backend of one of these devices is left to the caller.
fn names_no_backend(domain: &Domain, items: &[Item]) -> bool {
    let mut hostdevs = items
        .iter()
        .filter_map(|item| hostdev(&domain.devices, *item));
    hostdevs.any(|hostdev| hostdev.is_vfio() && domain.backend(hostdev).is_none())
}

/// Returns the reason why a new device that names no backend gets type1; `None` if it gets iommufd.
fn reason_for_type1(before: &Domain, hotplug: &Hotplug, host: &Host) -> Option<String> {
    let mut hostdevs = before.devices.assigned();
    let on_type1 = hostdevs.find(|hostdev| before.backend(hostdev) == Some(Backend::Type1));
    if let Some(other) = on_type1 {
        let other = other.host_name();
        return Some(format!(
            "{other} of the guest has it, and QEMU does not mix them"
        ));
    }

    if let Err(lack) = host.check_iommufd() {
        return Some(lack.to_string());
    }
    let has_iommufd = hotplug.capabilities.has_iommufd();
    (!has_iommufd).then(|| "the guest's QEMU has no iommufd".into())
}

/// Checks that the VMM has a `/dev/vfio` of its own if one of the devices is on type1.
fn check_own_folder(
    domain: &Domain,
    devices: &[Device],
    ledger: &Ledger,
) -> Result<(), HotplugError> {
    let mut on_type1 = devices
        .iter()
        .filter(|device| device.backend == Some(Backend::Type1));
    let Some(device) = on_type1.next() else {
        return Ok(());
    };
    if matches!(ledger.vfio_folder(), Ok(Some(_))) {
        return Ok(());
    }
    let reason = "the guest was started without a device on type1, so its VMM has no /dev/vfio of \
                  its own";
    Err(unsupported(domain, device.item, reason))
}

/// Returns the operation that gives the VMM the node of a device's group. Returns `None` if the VMM
/// has the node, or another operation gives it.
fn add_node(
    device: Address,
    before: &Domain,
    ops: &[Op],
    host: &Host,
) -> Result<Option<Op>, Error> {
    let Some(group) = host.device(device)?.group else {
        return Ok(None);
    };
    let present = type1::devices(&type1::functions(before), host)?;
    let is_planned = ops
        .iter()
        .any(|op| matches!(op, Op::AddVfioNode { group: of, .. } if *of == group));
    if is_planned || present.iter().any(|other| other.group == Some(group)) {
        return Ok(None);
    }
    Ok(Some(Op::AddVfioNode { device, group }))
}

/// Checks that the VMM can have the backends of all devices. A VMM that cannot ends.
fn check_backends(domain: &Domain) -> Result<(), HotplugError> {
    let Some((by_iommufd, by_type1)) = domain.mixed_backends() else {
        return Ok(());
    };
    Err(HotplugError::Unsupported {
        device: by_iommufd.host_name(),
        reason: format!(
            "it is on iommufd and {} of the guest on type1, and QEMU ends at such a mixture",
            by_type1.host_name()
        ),
    })
}

/// Returns the error for a device that cannot be attached.
fn unsupported(domain: &Domain, item: Item, reason: &str) -> HotplugError {
    HotplugError::Unsupported {
        device: domain.devices.describe(item),
        reason: reason.into(),
    }
}

/// Returns the hostdev of an item: a `<hostdev>`, or an `<interface>` of that type.
pub(crate) fn hostdev(devices: &Devices, item: Item) -> Option<&Hostdev> {
    match item {
        Item::Hostdev(number) => devices.hostdevs.get(number),
        Item::Interface(number) => devices.interfaces.get(number)?.hostdev.as_ref(),
        _ => None,
    }
}

/// Returns the operation that raises the VMM's limit, if it is too low. `limit` is the limit now;
/// `None` if the VMM has none.
fn raise_memlock(memlock: &Memlock, limit: Option<u64>) -> Option<Op> {
    let from = limit?;
    let to = memlock.bytes();
    (to > from).then_some(Op::RaiseMemlock { from, to })
}

/// Returns the operations that make the iommufd objects that the guest does not have yet.
fn add_objects(
    before: &Domain,
    after: &Domain,
    hotplug: &mut Hotplug,
) -> Result<Vec<Op>, HotplugError> {
    let present = before.iommufd_objects();
    let mut ops = Vec::new();
    for object in after.iommufd_objects() {
        if present.iter().any(|other| other.id == object.id) {
            continue;
        }
        if object.fd.is_some() {
            return Err(HotplugError::Unsupported {
                device: format!("the iommufd object {}", object.id),
                reason: "its descriptor is taken at the start alone".into(),
            });
        }
        // The VMM keeps the descriptor of an object that it had from its start.
        let descriptor = hotplug.start_objects.get(&object.id).copied();
        if descriptor.is_none() {
            ops.push(Op::AddFdSet {
                object: object.id.clone(),
                set: hotplug.take_set(),
            });
        }
        ops.push(Op::AddObject {
            object: object.id,
            descriptor,
        });
    }

    Ok(ops)
}

#[cfg(test)]
mod tests;
