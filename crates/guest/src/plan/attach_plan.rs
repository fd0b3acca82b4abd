//! The plan of an attach: from a document to the operations, changing nothing.

use std::collections::BTreeSet;

use passthru_domain::device::hostdev::Hostdev;
use passthru_domain::device::{Devices, Item};
use passthru_domain::{Backend, DeviceDocument, Domain, Note};
use passthru_host::Request;
use passthru_pci::Address;
use passthru_qemu::monitor::Command;
use passthru_qemu::{Capabilities, PlugResolve, Want, plug, plug_fragment};
use serde_json::Value;

use crate::error::Error;
use crate::op::op::Op;
use crate::op::world::World;
use crate::plan::hotplug::Hotplug;
use crate::plan::memlock::Memlock;
use crate::plan::start_ops::take_devices;
use crate::plan::start_plan::requests;
use crate::transaction::HotplugError;

/// Choices of the caller for an attach.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachSettings {
    /// Backend of the devices that name none; iommufd if it is absent.
    pub backend: Option<Backend>,
}

/// Plan of an attach.
#[derive(Debug)]
pub(crate) struct AttachPlan {
    pub(crate) domain: Domain,
    pub(crate) memlock: Memlock,
    pub(crate) aliases: Vec<String>,
    pub(crate) requests: Vec<Request>,
    pub(crate) ops: Vec<Op>,
    pub(crate) notes: Vec<Note>,
}

/// A VFIO device of a document.
struct Device {
    item: Item,
    alias: String,
    address: Address,
}

/// The descriptor of a device, which is not known before the VMM has it.
struct Later;

impl PlugResolve for Later {
    fn text(&self, _: &Want) -> String {
        String::new()
    }
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
        world: &World,
        limit: Option<u64>,
    ) -> Result<Self, Error> {
        let plugged = before.plug(document, &hotplug.capabilities, &hotplug.used)?;
        let mut domain = plugged.domain;
        domain.set_default_backend(settings.backend.unwrap_or(Backend::Iommufd));
        check_backends(&domain)?;
        let items = plugged.items.iter().chain(&plugged.media);
        let mut devices = Vec::new();
        for item in items {
            devices.push(Device::new(&domain, *item)?);
        }

        let taken: BTreeSet<Address> = devices.iter().map(|device| device.address).collect();
        let mut requests = requests(&domain);
        requests.retain(|request| taken.contains(&request.address));

        let mut ops = Vec::new();
        if before.iommufd_objects().is_empty() {
            let backends = vec![Backend::Iommufd.to_string()];
            ops.push(Op::LoadModules { backends });
        }
        ops.extend(take_devices(&requests, &world.host)?);
        let memlock = Memlock::for_guest(&domain, &world.opener());
        ops.extend(raise_memlock(&memlock, limit));
        ops.extend(add_objects(before, &domain, hotplug)?);
        for device in &devices {
            ops.push(Op::HandOver {
                device: device.address,
            });
            ops.push(Op::PassDevice {
                device: device.address,
                set: hotplug.take_set(),
            });
            ops.push(device.add(&domain, &hotplug.capabilities)?);
        }

        Ok(Self {
            domain,
            memlock,
            aliases: devices.into_iter().map(|device| device.alias).collect(),
            requests,
            ops,
            notes: plugged.notes,
        })
    }
}

impl Device {
    fn new(domain: &Domain, item: Item) -> Result<Self, Error> {
        let devices = &domain.devices;
        let Some(hostdev) = hostdev(devices, item) else {
            let reason = "only PCI devices of the host can be attached yet";
            return Err(unsupported(domain, item, reason).into());
        };
        let Some(address) = hostdev.pci() else {
            return Err(unsupported(domain, item, "it is not a PCI device").into());
        };
        if domain.backend(hostdev) != Some(Backend::Iommufd) {
            let reason = "a device on type1 cannot be attached yet";
            return Err(unsupported(domain, item, reason).into());
        }
        if hostdev.iommufd_fd.is_some() {
            let reason = "a descriptor that the caller handed in is taken at the start alone";
            return Err(unsupported(domain, item, reason).into());
        }
        Ok(Self {
            item,
            alias: hostdev.info.id().into(),
            address,
        })
    }

    /// Returns the operation that plugs the device in.
    fn add(&self, domain: &Domain, capabilities: &Capabilities) -> Result<Op, HotplugError> {
        let fragment = plug_fragment(domain, capabilities, self.item, 1)?;
        let steps = plug(&fragment, capabilities, &Later)?;
        let last = steps.into_iter().next_back().map(|step| step.command);
        let Some(Command::DeviceAdd {
            device: mut options,
        }) = last
        else {
            return Err(unsupported(domain, self.item, "QEMU has no command for it"));
        };
        if let Value::Object(members) = &mut options {
            members.remove("fd");
        }
        Ok(Op::AddDevice {
            alias: self.alias.clone(),
            device: self.address,
            options,
        })
    }
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
