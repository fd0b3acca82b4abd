//! Notes: settings of a domain that can work, but may surprise.

use std::collections::HashMap;

use super::{clock, nvme_disks, passwords};
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
    /// Returns the notes about a completed domain, in the order of the source:
    ///
    /// - backends that devices get although neither the device nor the domain names them;
    /// - backends of devices that differ from the domain's;
    /// - elements without effect;
    /// - devices whose properties an argument `-set` changes.
    ///
    /// If several devices have the same note on their backend, it stands once, at the first one.
    pub fn notes(&self) -> Vec<Note> {
        notes(self, &|_| false)
    }
}

/// Returns the notes about a completed domain, except those about host devices that could not be
/// read. `is_faulty` returns whether an element has errors in the text.
pub(crate) fn notes(domain: &Domain, is_faulty: &dyn Fn(&SourceSpan) -> bool) -> Vec<Note> {
    let devices = &domain.devices;
    let vfio: Vec<&Hostdev> = devices
        .assigned()
        .filter(|h| h.is_vfio() && !is_faulty(&h.info.span))
        .collect();
    let mut notes = backends(domain, &vfio);
    if let Some(capabilities) = &domain.emulator_capabilities {
        let message =
            "<qemu:capabilities> has no effect: the emulator's capabilities are used as they are";
        notes.push(Note::new(message.into(), capabilities.span.0.clone()));
    }

    notes.extend(set_devices(domain));
    notes.extend(unused_nvram(domain));
    notes.extend(nvme_disks::notes(domain));
    notes.extend(without_caching_mode(domain, &vfio));
    notes.extend(crowded_expanders(domain));
    notes.extend(without_effect(domain));
    if let (Some(clock), Some(arch)) = (&domain.clock, domain.os.kind.arch) {
        notes.extend(clock::notes(clock, arch));
    }
    notes.extend(devices.interfaces.iter().filter_map(tap_settings));
    notes.extend(devices.interfaces.iter().filter_map(host_card_settings));
    notes.extend(devices.filesystems.iter().filter_map(virtiofsd_settings));
    notes.extend(devices.disks.iter().filter_map(disk_settings));
    notes.extend(devices.disks.iter().filter_map(ata_vendor));
    notes.extend(devices.graphics.iter().filter_map(passwords::note));
    notes.retain(|note| !is_faulty(&SourceSpan(note.span.clone())));
    notes.sort_by_key(|n| n.span.as_ref().map(|s| s.start));
    notes
}

/// Notes the devices that are described by lists, since the emulator's `-set` finds no others.
fn set_devices(domain: &Domain) -> Option<Note> {
    let ids = domain.emulator_commandline.as_ref()?.set_devices();
    let first = ids.first()?;
    let message = format!(
        "-set changes devices such as {first}, so these and the controllers above them are lists \
         on the command line, not JSON"
    );
    Some(Note::new(message, domain.place_of("qemu:commandline").0))
}

/// Notes an `<nvram>` of firmware in read-only memory, which keeps no variables.
fn unused_nvram(domain: &Domain) -> Option<Note> {
    let nvram = domain.os.nvram.as_ref()?;
    if domain.os.variables().is_some() {
        return None;
    }
    let message = "<nvram> has no effect: firmware in <loader type='rom'> keeps no variables";
    Some(Note::new(message.into(), nvram.span.0.clone()))
}

/// Notes a host device behind an Intel IOMMU without `caching_mode`.
///
/// VFIO follows the guest's tables only if the guest reports each new entry (`caching_mode`), or if
/// the host uses the guest's tables (`fsts`).
fn without_caching_mode(domain: &Domain, vfio: &[&Hostdev]) -> Option<Note> {
    let iommu = domain
        .devices
        .iommus
        .iter()
        .find(|i| i.model == Some(IommuModel::Intel) && !reports_entries(i))?;
    let hostdev = vfio.iter().find(|h| !h.is_unassigned())?;
    let message = format!(
        "the emulator refuses hostdev {} unless this IOMMU has caching_mode='on'",
        hostdev.host_name()
    );
    Some(Note::new(message, iommu.info.span.0.clone()))
}

/// Returns whether VFIO learns of new entries in the tables of an IOMMU.
fn reports_entries(iommu: &Iommu) -> bool {
    let driver = iommu.driver.as_ref();
    driver.is_some_and(|d| d.caching_mode == Some(true) || d.fsts == Some(true))
}

/// Notes the expanders that have more buses below them than bus numbers.
///
/// The buses below an expander have the numbers from its own to the next expander's.
fn crowded_expanders(domain: &Domain) -> Vec<Note> {
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
        let index = expander.index.unwrap_or_default();
        let buses = below.get(&index).copied().unwrap_or(0);
        let room = end - number;
        // The expander's own bus has a number too.
        if buses >= room {
            let message = format!(
                "the expander with busNr {number} has {room} bus numbers, for its own bus and \
                 {buses} below it: the guest may not find all devices there"
            );
            notes.push(Note::new(message, expander.info.span.0.clone()));
        }
    }

    notes
}

/// Returns whether a `<memtune>` has only `<hard_limit>`, the limit on locked memory, which has an
/// effect.
fn is_hard_limit_alone(tune: &Memtune) -> bool {
    *tune
        == Memtune {
            hard_limit: tune.hard_limit,
            ..Memtune::default()
        }
}

/// Notes the elements that configure the host or a container. They are read, checked and written,
/// but nothing here applies them.
fn without_effect(domain: &Domain) -> Vec<Note> {
    let features = domain.features.as_ref();
    let has_cpuset = domain.vcpu.as_ref().is_some_and(|v| v.cpuset.is_some());
    let has_memtune = domain
        .memtune
        .as_ref()
        .is_some_and(|tune| !is_hard_limit_alone(tune));
    let has_label = domain
        .seclabels
        .iter()
        .any(|label| label.kind != Some(SeclabelType::None));
    let elements = [
        ("cputune", domain.cputune.is_some()),
        ("vcpu", has_cpuset),
        ("memtune", has_memtune),
        ("blkiotune", domain.blkiotune.is_some()),
        ("resource", domain.resource.is_some()),
        ("perf", domain.perf.is_some()),
        ("idmap", domain.idmap.is_some()),
        ("seclabel", has_label),
        ("on_lockfailure", domain.on_lockfailure.is_some()),
        ("features/hap", features.is_some_and(|f| f.hap.is_some())),
        ("features/viridian", features.is_some_and(|f| f.viridian)),
        ("features/privnet", features.is_some_and(|f| f.privnet)),
        ("features/msrs", features.is_some_and(|f| f.msrs.is_some())),
    ];
    let mut notes = Vec::new();
    for (path, is_set) in elements {
        if is_set {
            let element = match path.trim_start_matches("features/") {
                "vcpu" => "vcpu cpuset=…",
                element => element,
            };
            let message =
                format!("<{element}> has no effect: configure it on the host if you need it");
            notes.push(Note::new(message, domain.place_of(path).0));
        }
    }

    notes
}

/// Notes the backends of host devices. Of the devices with the same text, the first has the note.
fn backends(domain: &Domain, hostdevs: &[&Hostdev]) -> Vec<Note> {
    let mut found: Vec<(String, &Hostdev, usize)> = Vec::new();
    for hostdev in hostdevs {
        let Some(text) = backend(domain, hostdev) else {
            continue;
        };
        match found.iter_mut().find(|(known, ..)| *known == text) {
            Some((_, _, more)) => *more += 1,
            None => found.push((text, hostdev, 0)),
        }
    }

    let mut notes = Vec::new();
    for (text, first, more) in found {
        let others = match more {
            0 => String::new(),
            1 => "; the same holds for 1 more host device".into(),
            n => format!("; the same holds for {n} more host devices"),
        };
        let message = format!("hostdev {} {text}{others}", first.host_name());
        notes.push(Note::new(message, first.info.span.0.clone()));
    }

    notes
}

/// Returns a text on the backend of a host device, if the device does not name it or the domain
/// names another.
fn backend(domain: &Domain, hostdev: &Hostdev) -> Option<String> {
    let whole = domain.iommufd.as_ref().map(|i| i.enabled);
    Some(match (hostdev.iommufd(), whole, domain.backend(hostdev)) {
        (Some(own), Some(whole), Some(backend)) if own != whole => format!(
            "has iommufd='{}' and the domain has enabled='{}': the device's own setting applies, \
             it gets {}",
            yes_no(own),
            yes_no(whole),
            backend.as_str()
        ),
        (None, None, Some(Backend::Iommufd)) => {
            "is behind an accelerated virtual IOMMU: it gets iommufd, the only backend that works \
             there"
                .into()
        }
        (None, None, None) => "names no backend: type1, unless the caller chooses iommufd".into(),
        _ => return None,
    })
}

/// Returns the word of a `yes`/`no` attribute.
const fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Notes the settings of an interface that the creator of its tap must apply.
fn tap_settings(interface: &Interface) -> Option<Note> {
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
fn host_card_settings(interface: &Interface) -> Option<Note> {
    let hostdev = interface.hostdev.as_ref()?;
    let message = format!(
        "the MAC address, VLAN and port profile of this <interface> are not set on {}: set them on \
         the host before the start",
        hostdev.host_name()
    );
    Some(Note::new(message, interface.info().span.0.clone()))
}

/// Notes the settings of virtiofsd, which nothing here starts.
fn virtiofsd_settings(filesystem: &Filesystem) -> Option<Note> {
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

/// Notes the settings of a disk that nothing here applies.
fn disk_settings(disk: &Disk) -> Option<Note> {
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

/// Notes the vendor of a disk on IDE or SATA. ATA knows a model name alone, which is the product.
fn ata_vendor(disk: &Disk) -> Option<Note> {
    let all = [("vendor", disk.is_ata() && disk.vendor.is_some())];
    let reason = "a disk on IDE or SATA shows its product alone";
    note("<disk>", reason, &all, &disk.info.span)
}

/// Returns the note that some settings of an element have no effect; `None` if none of them is set.
pub(super) fn note(
    element: &str,
    reason: &str,
    settings: &[(&str, bool)],
    span: &SourceSpan,
) -> Option<Note> {
    let mut names = Vec::new();
    for (name, is_set) in settings {
        if *is_set {
            names.push(*name);
        }
    }

    if names.is_empty() {
        return None;
    }
    let names = names.join(", ");
    let message = format!("{names} of {element} has no effect: {reason}");
    Some(Note::new(message, span.0.clone()))
}
