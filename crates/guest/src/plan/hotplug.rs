//! The state of a guest for changes of its devices.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::RawFd;

use passthru_domain::Domain;
use passthru_qemu::{Capabilities, WantKind};

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
    pub(crate) transaction: Option<Transaction>,
    pub(crate) finished: Option<TransactionEnd>,
    next_set: u32,
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
            transaction: None,
            finished: None,
            next_set: FIRST_SET,
        };
        hotplug.use_up_aliases(domain);
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

    /// Returns the number of an fd set that was never used.
    pub(crate) fn take_set(&mut self) -> u32 {
        let set = self.next_set;
        self.next_set += 1;
        set
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
