//! What is not wrong with a domain, but may surprise.

use std::collections::HashMap;

use crate::error::Note;
use crate::model::backend::Backend;
use crate::model::device::interface::InterfaceType;
use crate::model::device::iommu::IommuModel;
use crate::model::device::net::LinkState;
use crate::model::device::{Address, ControllerType, Disk, Filesystem, Hostdev, Interface, Iommu};
use crate::model::domain::Domain;
use crate::model::resources::Memtune;
use crate::model::security::SeclabelType;
use crate::xml::span::SourceSpan;

impl Domain {
    /// Returns what is worth knowing of a completed domain, in the order of the source: which
    /// backend a device gets that names none, or another one than the domain; which elements have
    /// no effect.
    pub fn notes(&self) -> Vec<Note> {
        let vfio = self.devices.assigned().filter(|h| h.is_vfio());
        let mut notes: Vec<Note> = vfio.filter_map(|hostdev| backend(self, hostdev)).collect();
        notes.extend(self.emulator_capabilities.as_ref().map(|capabilities| {
            let message = "<qemu:capabilities> has no effect: the emulator itself is queried";
            Note::new(message.into(), capabilities.span.0.clone())
        }));
        notes.extend(uncached(self));
        notes.extend(crowded(self));
        notes.extend(without_effect(self));
        notes.extend(self.devices.interfaces.iter().filter_map(left_to_the_host));
        notes.extend(
            self.devices
                .interfaces
                .iter()
                .filter_map(unset_on_the_device),
        );
        notes.extend(
            self.devices
                .filesystems
                .iter()
                .filter_map(left_to_virtiofsd),
        );
        notes.extend(self.devices.disks.iter().filter_map(left_to_a_manager));
        notes.sort_by_key(|n| n.span.as_ref().map(|s| s.start));
        notes
    }
}

/// VFIO follows the tables of an Intel IOMMU only where the guest tells of each new entry, or where
/// the guest's own tables go to the host's.
fn uncached(domain: &Domain) -> Option<Note> {
    let told = |iommu: &&Iommu| {
        iommu
            .driver
            .as_ref()
            .is_some_and(|d| d.caching_mode == Some(true) || d.fsts == Some(true))
    };
    let iommu = domain
        .devices
        .iommus
        .iter()
        .find(|i| i.model == Some(IommuModel::Intel) && !told(i))?;
    let hostdev = domain
        .devices
        .assigned()
        .find(|h| h.is_vfio() && !h.is_unassigned())?;
    let message = format!(
        "the emulator refuses hostdev {} unless this IOMMU has caching_mode='on'",
        hostdev.host_name()
    );
    Some(Note::new(message, iommu.info.span.0.clone()))
}

/// The buses below an expander are numbered from its own number on, and end before the next
/// expander's.
fn crowded(domain: &Domain) -> Vec<Note> {
    let devices = &domain.devices;
    let mut below: HashMap<u32, u16> = HashMap::new();
    for controller in devices.controllers_of(ControllerType::Pci) {
        if let Some(at) = controller.info.address.as_ref().and_then(Address::pci) {
            *below.entry(devices.root_bus_of(at)).or_default() += 1;
        }
    }
    let expanders = devices.controllers_of(ControllerType::Pci);
    let expanders = expanders.filter_map(|c| Some((u16::from(c.target.as_ref()?.bus_nr?), c)));
    let mut expanders: Vec<_> = expanders.collect();
    expanders.sort_by_key(|(number, _)| *number);
    let ends: Vec<u16> = expanders
        .iter()
        .skip(1)
        .map(|(number, _)| *number)
        .chain([256])
        .collect();
    let mut notes = Vec::new();
    for ((number, expander), end) in expanders.into_iter().zip(ends) {
        let (buses, room) = (
            below
                .get(&expander.index.unwrap_or_default())
                .copied()
                .unwrap_or(0),
            end - number,
        );
        // The expander's own bus has a number too.
        if buses >= room {
            let message = format!(
                "the expander with busNr {number} has {room} bus numbers, for its own bus and {buses} below it: \
                 the guest may not find all devices there"
            );
            notes.push(Note::new(message, expander.info.span.0.clone()));
        }
    }
    notes
}

/// Returns whether all that is said of memory is the limit on locked memory, which `run` sets.
fn is_hard_limit_alone(tune: &Memtune) -> bool {
    *tune
        == Memtune {
            hard_limit: tune.hard_limit,
            ..Memtune::default()
        }
}

/// What a domain says of the host's resources that nobody sets up here, and what a full virtual
/// machine has no use for. It is read, checked and written, so that a domain loses nothing.
fn without_effect(domain: &Domain) -> impl Iterator<Item = Note> {
    let features = domain.features.as_ref();
    let labels = domain
        .seclabels
        .iter()
        .any(|label| label.kind != Some(SeclabelType::None));
    let all = [
        ("cputune", domain.cputune.is_some()),
        (
            "vcpu cpuset=…",
            domain
                .vcpu
                .as_ref()
                .is_some_and(|vcpu| vcpu.cpuset.is_some()),
        ),
        (
            "memtune",
            domain
                .memtune
                .as_ref()
                .is_some_and(|tune| !is_hard_limit_alone(tune)),
        ),
        ("blkiotune", domain.blkiotune.is_some()),
        ("resource", domain.resource.is_some()),
        ("perf", domain.perf.is_some()),
        ("idmap", domain.idmap.is_some()),
        ("seclabel", labels),
        ("on_lockfailure", domain.on_lockfailure.is_some()),
        (
            "hap",
            features.is_some_and(|features| features.hap.is_some()),
        ),
        (
            "viridian",
            features.is_some_and(|features| features.viridian),
        ),
        ("privnet", features.is_some_and(|features| features.privnet)),
        (
            "msrs",
            features.is_some_and(|features| features.msrs.is_some()),
        ),
    ];
    let said: Vec<_> = all.into_iter().filter(|(_, said)| *said).collect();
    let span = domain.span.0.clone();
    said.into_iter().map(move |(element, _)| {
        let message = format!("<{element}> has no effect: configure it on the host if you need it");
        Note::new(message, span.clone())
    })
}

fn backend(domain: &Domain, hostdev: &Hostdev) -> Option<Note> {
    let whole = domain.iommufd.as_ref().map(|i| i.enabled);
    let yes_no = |yes| if yes { "yes" } else { "no" };
    let text = match (hostdev.iommufd(), whole, domain.backend(hostdev)) {
        (Some(own), Some(whole), Some(backend)) if own != whole => format!(
            "has iommufd='{}' and the domain has enabled='{}': the device's own setting applies, it gets {}",
            yes_no(own),
            yes_no(whole),
            backend.as_str()
        ),
        (None, None, Some(Backend::Iommufd)) => {
            "is behind an accelerated virtual IOMMU: it gets iommufd, the only backend that works there"
                .into()
        }
        (None, None, None) => "names no backend: type1, unless the caller chooses iommufd".into(),
        _ => return None,
    };
    Some(Note::new(
        format!("hostdev {} {text}", hostdev.host_name()),
        hostdev.info.span.0.clone(),
    ))
}

/// What an interface says of its tap, which is set up by whoever makes it.
fn left_to_the_host(interface: &Interface) -> Option<Note> {
    let is_tap = !matches!(
        interface.kind,
        None | Some(InterfaceType::User | InterfaceType::Hostdev)
    );
    let all = [
        ("filterref", interface.filterref.is_some()),
        ("bandwidth", interface.bandwidth.is_some()),
        ("vlan", is_tap && interface.vlan.is_some()),
        ("virtualport", is_tap && interface.virtualport.is_some()),
        ("coalesce", interface.coalesce.is_some()),
        ("port", interface.isolated.is_some()),
        ("link", interface.link == Some(LinkState::Down)),
    ];
    note(
        "<interface>",
        "configure the tap itself",
        &all,
        &interface.info().span,
    )
}

/// Notes that an assigned network card keeps its own MAC address and VLAN.
fn unset_on_the_device(interface: &Interface) -> Option<Note> {
    let hostdev = interface.hostdev.as_ref()?;
    let message = format!(
        "the MAC address, VLAN and port profile of this <interface> are not set on {}: set them on \
         the host before the start",
        hostdev.host_name()
    );
    Some(Note::new(message, interface.info().span.0.clone()))
}

/// What a filesystem says of its virtiofsd, which is started by whoever starts the guest.
fn left_to_virtiofsd(filesystem: &Filesystem) -> Option<Note> {
    let all = [
        ("binary", filesystem.binary.is_some()),
        ("idmap", filesystem.idmap.is_some()),
    ];
    note(
        "<filesystem>",
        "virtiofsd is not started here",
        &all,
        &filesystem.info.span,
    )
}

/// What a disk says that is done once the guest runs, or by nobody.
fn left_to_a_manager(disk: &Disk) -> Option<Note> {
    let source = disk.source.as_ref();
    let all = [
        ("iotune", disk.iotune.is_some()),
        (
            "startupPolicy",
            source.is_some_and(|source| source.startup_policy.is_some()),
        ),
        (
            "seclabel",
            source.is_some_and(|source| !source.seclabels.is_empty()),
        ),
        ("sgio", disk.sgio.is_some()),
        ("rawio", disk.rawio.is_some()),
    ];
    note("<disk>", "not supported", &all, &disk.info.span)
}

fn note(of: &str, why: &str, all: &[(&str, bool)], span: &SourceSpan) -> Option<Note> {
    let said: Vec<_> = all
        .iter()
        .filter(|(_, said)| *said)
        .map(|(what, _)| *what)
        .collect();
    let message = format!("{} of {of} has no effect: {why}", said.join(", "));
    (!said.is_empty()).then(|| Note::new(message, span.0.clone()))
}
