//! Devices that are added to a running guest.

use std::collections::{BTreeSet, HashSet};

use super::document::DeviceDocument;
use super::slot::{self, slot_of};
use super::{kind, medium};
use crate::bounded::Bounded;
use crate::complete::{aliases, disks, hostdevs, identity};
use crate::error::{Error, Errors, Note};
use crate::model::device::{Devices, Disk, Info, Item};
use crate::model::domain::Domain;
use crate::place::virtio;
use crate::platform::{Machine, Platform};
use crate::validate;
use crate::xml::span::{SourceSpan, TopSpans};

/// A running guest's domain with further devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugged {
    /// The domain. Of its parts, only the new ones have a position in a document.
    pub domain: Domain,
    /// The new devices, in the order in which they are to be plugged in. Function 0 of a slot comes
    /// after its other functions, since the guest then looks for all of them.
    pub items: Vec<Item>,
    /// The drives that get another medium.
    pub media: Vec<Item>,
    /// Notes on settings of the new devices without effect or with surprising effects.
    pub notes: Vec<Note>,
}

impl Domain {
    /// Returns this completed domain of a running guest with the devices of a document. The domain
    /// itself stays as it is, so that a device can be plugged in as a whole or not at all.
    ///
    /// Each device gets its defaults, an alias and an address, as [`Domain::complete`] would give
    /// them. But the guest keeps its controllers: a PCI device gets an empty slot that has hotplug.
    /// A CD-ROM whose target the guest has is a new medium of that drive.
    ///
    /// `used` are the aliases that the guest has had in this run. No device gets one of them, since
    /// a late event could be about the former device.
    ///
    /// A host device whose XML names no backend has none yet ([`Domain::set_default_backend`]).
    ///
    /// # Errors
    /// With positions in the document:
    ///
    /// - If the machine is not known, or a device is of a kind that can be there from the start
    ///   alone, then that error.
    /// - If no slot is free, or that of an address is in use or has no hotplug, then an error that
    ///   lists the free ones.
    /// - If an alias was used before, then that error.
    /// - Otherwise the new errors of [`Domain::validate`].
    pub fn plug(
        &self,
        document: DeviceDocument,
        platform: &dyn Platform,
        used: &BTreeSet<String>,
    ) -> Result<Plugged, Errors> {
        let machine = Machine::for_domain(self, platform)?;
        let mut domain = self.clone();
        forget_positions(&mut domain);
        let before = Findings::new(&domain, &machine);

        let mut added = Added::default();
        added.take(&mut domain, document.devices, &machine);
        Errors::check(std::mem::take(&mut added.errors))?;

        Errors::check(aliases_in_use(&domain.devices, &added.items, used))?;
        Errors::check(slot::assign(&mut domain.devices, &machine, &added.items))?;
        let mut all_used = used.clone();
        all_used.extend(aliases_of(&domain.devices, &added.items));
        aliases::fill_unused(&mut domain.devices, machine.board, &all_used);

        let after = Findings::new(&domain, &machine);
        Errors::check(before.new_errors(after.errors))?;
        let mut notes = document.notes;
        notes.extend(before.new_notes(after.notes));
        Ok(Plugged {
            items: plug_order(&domain.devices, &added.items),
            domain,
            media: added.media,
            notes,
        })
    }
}

/// Drops the positions of devices and elements: they are in another document than new devices.
fn forget_positions(domain: &mut Domain) {
    domain.span = SourceSpan::default();
    domain.top_spans = TopSpans::default();
    for item in domain.devices.items() {
        if let Some(info) = domain.devices.info_mut(item) {
            info.span = SourceSpan::default();
        }
    }
}

/// Errors and notes about a domain.
struct Findings {
    errors: Bounded<Error>,
    notes: Vec<Note>,
}

impl Findings {
    fn new(domain: &Domain, machine: &Machine) -> Self {
        Self {
            errors: validate::check(domain, machine),
            notes: domain.notes(),
        }
    }

    /// Returns those of later errors that were not there before.
    fn new_errors(&self, later: Bounded<Error>) -> Bounded<Error> {
        let known: HashSet<&str> = self.errors.iter().map(|e| e.message.as_str()).collect();
        later.without(|error| known.contains(error.message.as_str()))
    }

    /// Returns those of later notes that were not there before.
    fn new_notes(&self, later: Vec<Note>) -> Vec<Note> {
        let known: HashSet<&str> = self.notes.iter().map(|n| n.message.as_str()).collect();
        let mut new = later;
        new.retain(|note| !known.contains(note.message.as_str()));
        new
    }
}

/// The devices that were added to a domain, and the errors of others.
#[derive(Default)]
struct Added {
    items: Vec<Item>,
    media: Vec<Item>,
    errors: Bounded<Error>,
}

impl Added {
    /// Adds the devices of a document with their defaults, behind those that the domain has.
    fn take(&mut self, domain: &mut Domain, mut document: Devices, machine: &Machine) {
        hostdevs::fill(&mut document);
        for disk in document.disks {
            self.take_disk(domain, disk);
        }
        for interface in document.interfaces {
            let interfaces = &mut domain.devices.interfaces;
            interfaces.push(interface);
            self.items.push(Item::Interface(interfaces.len() - 1));
            let uuid = domain.uuid.unwrap_or_default();
            identity::fill_last(interfaces, uuid, machine);
        }

        for hostdev in document.hostdevs {
            domain.devices.hostdevs.push(hostdev);
            let last = domain.devices.hostdevs.len() - 1;
            self.items.push(Item::Hostdev(last));
        }

        virtio::assign(&mut domain.devices, machine);
        for item in &self.items {
            if let Some(reason) = kind::refusal(&domain.devices, *item, machine) {
                self.errors.push(refused(&domain.devices, *item, &reason));
            }
        }
    }

    /// Adds a disk, or puts the medium into the drive of its target.
    fn take_disk(&mut self, domain: &mut Domain, mut disk: Disk) {
        let disks = &mut domain.devices.disks;
        // A drive that comes with the document is not there yet.
        let mut drives = disks.iter().enumerate();
        let drive = drives.find(|(number, drive)| {
            !self.items.contains(&Item::Disk(*number)) && medium::is_for(&disk, drive)
        });
        let Some((drive, _)) = drive else {
            disks::fill_one(&mut disk);
            disks.push(disk);
            self.items.push(Item::Disk(disks.len() - 1));
            return;
        };
        if self.media.contains(&Item::Disk(drive)) {
            let target = &disk.target.dev;
            let message = format!("the document has two media for the drive '{target}'");
            let span = disk.info.span.0;
            self.errors.push(Error::new(message).at(span));
            return;
        }

        match medium::put_in(&mut disks[drive], disk) {
            Ok(()) => self.media.push(Item::Disk(drive)),
            Err(error) => self.errors.push(error),
        }
    }
}

/// Returns the error of a device that cannot be plugged in.
fn refused(devices: &Devices, item: Item, reason: &str) -> Error {
    let device = devices.describe(item);
    let span = devices.info(item).and_then(|info| info.span.0.clone());
    let message = format!("{device} cannot be plugged into a running guest: {reason}");
    Error::new(message).at(span)
}

/// Returns the errors of new devices whose XML names an alias that was used before.
fn aliases_in_use(devices: &Devices, added: &[Item], used: &BTreeSet<String>) -> Bounded<Error> {
    let mut errors = Bounded::default();
    for item in added {
        let info = devices.info(*item);
        let Some(alias) = info.map(Info::id).filter(|alias| used.contains(*alias)) else {
            continue;
        };
        let message = format!("the guest has had a device with the alias '{alias}' in this run");
        let span = info.and_then(|info| info.span.0.clone());
        let hint = "choose another alias, or leave <alias> out";
        errors.push(Error::new(message).at(span).hint(hint));
    }

    errors
}

/// Returns the aliases of the devices that are not new.
fn aliases_of<'a>(devices: &'a Devices, added: &'a [Item]) -> impl Iterator<Item = String> + 'a {
    let items = devices.items().into_iter();
    let present = items.filter(|item| !added.contains(item));
    present
        .filter_map(|item| devices.info(item)?.alias.clone())
        .filter(|alias| !alias.is_empty())
}

/// Returns the new devices with function 0 of each slot behind the other new devices of the slot.
fn plug_order(devices: &Devices, items: &[Item]) -> Vec<Item> {
    let mut keyed = Vec::new();
    for (place, item) in items.iter().enumerate() {
        // A device stands where the first one of its slot stands.
        let slot = slot_of(devices, *item);
        let mut others = items.iter();
        let first = others.position(|other| slot.is_some() && slot_of(devices, *other) == slot);
        let at = devices.pci_address(*item);
        let is_function_0 = at.is_some_and(|at| at.function == 0);
        keyed.push(((first.unwrap_or(place), is_function_0), *item));
    }

    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, item)| item).collect()
}
