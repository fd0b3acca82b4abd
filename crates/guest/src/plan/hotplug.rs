//! The state of a guest for changes of its devices.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::RawFd;

use passthru_domain::Domain;
use passthru_domain::device::Item;
use passthru_qemu::monitor::Command;
use passthru_qemu::{
    Capabilities, Fragment, PlugResolve, Style, Want, WantKind, fragment, medium, next_node,
};

use crate::journal::UsedUp;
use crate::op::op::PartKind;
use crate::plan::handover::{Delivery, Handover};
use crate::transaction::{Transaction, TransactionEnd};

/// First number of the fd sets of a running guest. The sets of a command line are numbered from
/// zero.
const FIRST_SET: u32 = 10_000;

/// The names and numbers that a run of a guest has used up, and the change of devices under way.
#[derive(Debug)]
pub(crate) struct Hotplug {
    pub(crate) capabilities: Capabilities,
    /// Aliases that the guest has had. QEMU ends if a device gets the id of one that it refused.
    pub(crate) used: BTreeSet<String>,
    /// Numbers in the VMM of the descriptors of the iommufd objects that it had from its start.
    pub(crate) start_objects: BTreeMap<String, RawFd>,
    /// Parts in the VMM of the disks and cards that it had from its start, by their aliases. The
    /// parts are in the order in which they can be removed.
    pub(crate) start_parts: BTreeMap<String, Vec<(PartKind, String)>>,
    /// The block nodes of the media in drives, by the aliases of the drives.
    pub(crate) media: BTreeMap<String, Option<String>>,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) finished: Option<TransactionEnd>,
    /// Aliases of devices that the VMM removed while no change was under way: the guest released
    /// them late, or by itself.
    pub(crate) gone: BTreeSet<String>,
    /// Whether the change under way is about a device that is gone, and nobody waits for its end.
    pub(crate) is_late: bool,
    next_set: u32,
    next_node: usize,
}

impl Hotplug {
    /// Returns the state of a guest whose devices have not changed since its start.
    pub(crate) fn new(domain: &Domain, handover: &Handover, capabilities: Capabilities) -> Self {
        let mut start_objects = BTreeMap::new();
        for item in handover.items() {
            if let (WantKind::Iommufd { .. }, Delivery::Descriptor(number)) =
                (&item.want.kind, &item.delivery)
            {
                start_objects.insert(item.want.name.clone(), *number);
            }
        }

        let mut hotplug = Self {
            capabilities,
            used: BTreeSet::new(),
            start_objects,
            start_parts: BTreeMap::new(),
            media: BTreeMap::new(),
            transaction: None,
            finished: None,
            gone: BTreeSet::new(),
            is_late: false,
            next_set: FIRST_SET,
            next_node: 1,
        };
        hotplug.use_up_aliases(domain);
        hotplug.note_start_parts(domain);
        hotplug
    }

    /// Returns the state of a guest that a former manager has left. `used` is from its journal.
    pub(crate) fn adopted(domain: &Domain, capabilities: Capabilities, used: UsedUp) -> Self {
        let mut hotplug = Self::new(domain, &Handover::default(), capabilities);
        // The parts of attached devices are in force by operations of their own.
        let attached = &used.aliases;
        hotplug
            .start_parts
            .retain(|alias, _| !attached.contains(alias));
        hotplug.change_media(used.media);
        hotplug.used.extend(used.aliases);
        hotplug.next_set = FIRST_SET.max(used.last_set.saturating_add(1));
        let next = next_node(used.parts.iter().map(String::as_str));
        hotplug.next_node = hotplug.next_node.max(next);
        hotplug
    }

    /// Notes the aliases of a domain as used.
    pub(crate) fn use_up_aliases(&mut self, domain: &Domain) {
        let devices = &domain.devices;
        for item in devices.items() {
            let alias = devices.info(item).and_then(|info| info.alias.clone());
            self.used.extend(alias);
        }
    }

    /// Notes the parts of the disks and cards of a start.
    fn note_start_parts(&mut self, domain: &Domain) {
        let devices = &domain.devices;
        for item in devices.items() {
            let info = devices.info(item).filter(|_| has_parts(item));
            let Some(info) = info else {
                continue;
            };
            let Ok(fragment) = fragment(domain, &self.capabilities, Style::Managed, item) else {
                continue;
            };
            self.use_up_nodes(&fragment);
            // The cleanup is that of the parts, also for a drive that stays.
            if let Ok(medium) = medium(&fragment, &NoTexts) {
                let parts = medium.cleanup.into_iter().filter_map(removed_part);
                self.start_parts.insert(info.id().into(), parts.collect());
                self.media.insert(info.id().into(), medium.node);
            }
        }
    }

    /// Notes the media that drives have now. Those of the start are gone.
    pub(crate) fn change_media(&mut self, media: BTreeMap<String, Option<String>>) {
        for drive in media.keys() {
            self.start_parts.remove(drive);
        }
        self.media.extend(media);
    }

    /// Returns the lowest number of block nodes that the VMM never had.
    pub(crate) const fn next_node(&self) -> usize {
        self.next_node
    }

    /// Notes the block nodes of a device as used.
    pub(crate) fn use_up_nodes(&mut self, fragment: &Fragment) {
        let nodes = fragment.options.iter().filter(|o| o.flag == "-blockdev");
        let next = next_node(nodes.filter_map(|option| option.id()));
        self.next_node = self.next_node.max(next);
    }

    /// Returns the number of an fd set that was never used.
    pub(crate) fn take_set(&mut self) -> u32 {
        let set = self.next_set;
        self.next_set += 1;
        set
    }
}

/// Texts of wants for a list of names alone.
struct NoTexts;

impl PlugResolve for NoTexts {
    fn text(&self, _: &Want) -> String {
        String::new()
    }
}

/// Returns whether a device can have parts that are removed after it.
const fn has_parts(item: Item) -> bool {
    matches!(item, Item::Disk(_) | Item::Interface(_))
}

/// Returns the part that a command removes.
fn removed_part(command: Command) -> Option<(PartKind, String)> {
    match command {
        Command::ObjectDel { id } => Some((PartKind::Object, id)),
        Command::BlockdevDel { node_name } => Some((PartKind::Node, node_name)),
        Command::NetdevDel { id } => Some((PartKind::Netdev, id)),
        _ => None,
    }
}

/// Removes devices that the VMM no longer has from a domain.
pub(crate) fn remove_devices(domain: &mut Domain, aliases: &BTreeSet<String>) {
    let devices = &mut domain.devices;
    devices
        .hostdevs
        .retain(|hostdev| !aliases.contains(hostdev.info.id()));
    devices
        .interfaces
        .retain(|interface| !aliases.contains(interface.info().id()));
    devices
        .disks
        .retain(|disk| !aliases.contains(disk.info.id()));
}
