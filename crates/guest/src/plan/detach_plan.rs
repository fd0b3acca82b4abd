//! The plan of a detach: from a device to the steps, changing nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use passthru_domain::Domain;
use passthru_host::Host;
use passthru_pci::Address;

use crate::journal::Entry;
use crate::op::ledger::Ledger;
use crate::op::op::Op;
use crate::plan::attach_plan::hostdev;
use crate::plan::hotplug::Hotplug;
use crate::plan::memlock::Memlock;
use crate::plan::start_plan::size_of_file;
use crate::plan::type1;
use crate::transaction::{HotplugError, Step};

/// Time that a guest has to release a device, unless the caller chooses another.
const TIME: Duration = Duration::from_secs(30);

/// Choices of the caller for a detach.
#[derive(Clone, Copy, Debug)]
pub struct DetachSettings {
    /// Time for the guest to release the device.
    pub time: Duration,
    /// Whether the guest is reset if it does not release the device in time. QEMU removes the
    /// device at the reset; a guest whose firmware has native hotplug of PCI Express may keep it.
    pub force: bool,
}

impl Default for DetachSettings {
    fn default() -> Self {
        Self {
            time: TIME,
            force: false,
        }
    }
}

/// Plan of a detach.
#[derive(Debug)]
pub(crate) struct DetachPlan {
    pub(crate) memlock: Memlock,
    pub(crate) aliases: Vec<String>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) steps: Vec<Step>,
}

impl DetachPlan {
    /// Plans the detach of a device and of the other functions in its slot.
    ///
    /// # Errors
    /// If the guest does not have the device, or cannot release it, then [`HotplugError`].
    pub(crate) fn new(
        device: &str,
        domain: &Domain,
        hotplug: &Hotplug,
        ledger: &Ledger,
    ) -> Result<Self, HotplugError> {
        let entries = ledger.entries();
        let alias = find_alias(domain, device).unwrap_or(device);
        let unplugged = domain.unplug(alias, &hotplug.capabilities)?;
        let mut aliases = Vec::new();
        let mut addresses = Vec::new();
        let mut steps = Vec::new();
        for item in unplugged.items {
            let info = domain.devices.info(item);
            let alias = info.map_or("", |info| info.id()).to_owned();
            let device = match hostdev(&domain.devices, item) {
                Some(hostdev) => hostdev.pci(),
                None => None,
            };
            addresses.extend(device);
            aliases.push(alias.clone());
            steps.push(Step::Do(Op::RemoveDevice { alias, device }));
        }

        let opener = ledger.opener();
        let after = &unplugged.domain;
        let memlock = Memlock::for_domain(after, &|path| size_of_file(path, &opener));
        let limit = memlock.needed();
        let groups = freed_groups(&addresses, domain, after, ledger.host())?;
        for group in &groups {
            let is_attached = entries
                .iter()
                .any(|entry| matches!(&entry.op, Op::AddVfioNode { group: of, .. } if of == group));
            if !is_attached {
                steps.push(Step::Do(Op::RemoveVfioNode { group: *group }));
            }
        }

        let objects = unused_objects(domain, after);
        for entry in entries.iter().rev() {
            let is_undone = match &entry.op {
                Op::AddDevice { alias, .. }
                | Op::AddPart { alias, .. }
                | Op::PassFile { alias, .. } => aliases.contains(alias),
                Op::PassDevice { device, .. }
                | Op::HandOver { device }
                | Op::Bind { device, .. }
                | Op::Claim { device, .. } => addresses.contains(device),
                Op::AddVfioNode { group, .. } => groups.contains(group),
                Op::AddObject { object, .. } | Op::AddFdSet { object, .. } => {
                    objects.contains(object)
                }
                Op::RaiseMemlock { from, .. } => *from >= limit,
                _ => false,
            };
            if is_undone {
                steps.push(Step::Undo(entry.number));
            }
        }

        for alias in &aliases {
            let attached = attached_parts(alias, entries);
            if attached.is_empty() {
                steps.extend(remove_parts(alias, hotplug, entries));
            }
        }

        for object in objects {
            let is_attached = entries.iter().any(
                |entry| matches!(&entry.op, Op::AddObject { object: of, .. } if *of == object),
            );
            if !is_attached {
                steps.push(Step::Do(Op::RemoveObject { object }));
            }
        }

        Ok(Self {
            memlock,
            aliases,
            addresses,
            steps,
        })
    }
}

/// Returns the numbers of the operations in force that made the parts of a device, the last one
/// first.
fn attached_parts(alias: &str, entries: &[Entry]) -> Vec<u32> {
    let made = entries.iter().rev().filter(|entry| match &entry.op {
        Op::AddPart { alias: of, .. } | Op::PassFile { alias: of, .. } => of == alias,
        _ => false,
    });
    made.map(|entry| entry.number).collect()
}

/// Returns the steps that remove the parts of a device: those that were attached, else those of the
/// start.
pub(crate) fn remove_parts(alias: &str, hotplug: &Hotplug, entries: &[Entry]) -> Vec<Step> {
    let attached = attached_parts(alias, entries);
    if !attached.is_empty() {
        return attached.into_iter().map(Step::Undo).collect();
    }
    let parts = hotplug.start_parts.get(alias).into_iter().flatten();
    let parts = parts.cloned();
    parts
        .map(|(kind, id)| Step::Do(Op::RemovePart { kind, id }))
        .collect()
}

/// Returns the IOMMU groups that the VMM no longer opens once devices on type1 are detached.
fn freed_groups(
    detached: &[Address],
    before: &Domain,
    after: &Domain,
    host: &Host,
) -> Result<BTreeSet<u32>, HotplugError> {
    let mut groups = BTreeSet::new();
    let mut by_type1 = type1::functions(before);
    by_type1.retain(|address| detached.contains(address));
    for device in by_type1 {
        let Some(group) = group_of(device, host) else {
            continue;
        };
        let mut others = type1::functions(after).into_iter();
        if let Some(other) = others.find(|other| group_of(*other, host) == Some(group)) {
            return Err(HotplugError::GroupStays {
                device,
                group,
                other,
            });
        }
        groups.insert(group);
    }

    Ok(groups)
}

fn group_of(device: Address, host: &Host) -> Option<u32> {
    host.device(device).ok()?.group
}

/// Returns the alias of a device of the host that is named by its address.
fn find_alias<'a>(domain: &'a Domain, device: &str) -> Option<&'a str> {
    let address: Address = device.parse().ok()?;
    let mut hostdevs = domain.devices.assigned();
    let hostdev = hostdevs.find(|hostdev| hostdev.pci() == Some(address))?;
    Some(hostdev.info.id())
}

/// Returns the ids of the iommufd objects that nothing uses in the later domain.
fn unused_objects(before: &Domain, after: &Domain) -> Vec<String> {
    let used = after.iommufd_objects();
    let mut unused = Vec::new();
    for object in before.iommufd_objects() {
        if used.iter().all(|other| other.id != object.id) {
            unused.push(object.id);
        }
    }

    unused
}
