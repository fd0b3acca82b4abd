//! NVMe disks of the host, which the emulator drives by itself: their sources, their backend, and
//! functions that several elements name.

use super::check::{Check, duplicates};
use crate::error::Note;
use crate::model::assigned_function::{
    AssignedFunction, FunctionOwner, nvme_sources, refusal_of_iommufd,
};
use crate::model::backend::Backend;
use crate::model::device::disk::{DiskSource, DiskType};
use crate::model::device::{Disk, MemoryModel};
use crate::model::domain::Domain;

pub(super) fn check(check: &mut Check<'_>) {
    let domain = check.domain;
    for disk in &domain.devices.disks {
        check_source(check, disk);
    }

    let disks = domain.devices.nvme_functions();
    check_shared_functions(check, &domain.devices.assigned_functions());
    check_virtio_mem(check, disks.first());
    if domain.backend_asked_of_nvme_disks() == Some(Backend::Iommufd) {
        for disk in &disks {
            let request = "<iommufd enabled='yes'/> of the domain";
            check.errors.push(refusal_of_iommufd(disk, request));
        }
    }
}

/// Checks that no guest with an NVMe disk has `virtio-mem`.
///
/// The emulator's NVMe driver pins all memory and forbids to discard any
/// (`qemu_vfio_open_pci`), and `virtio-mem` discards.
fn check_virtio_mem(check: &mut Check<'_>, nvme_disk: Option<&AssignedFunction<'_>>) {
    let Some(disk) = nvme_disk else { return };
    for memory in &check.domain.devices.memories {
        if memory.model == Some(MemoryModel::VirtioMem) {
            let message = format!(
                "<memory model='virtio-mem'> does not work beside {}: the emulator's own NVMe \
                 driver pins all memory",
                disk.owner_name()
            );
            let hint = "assign the controller with <hostdev>, or use model='dimm'";
            check.error_with_hint(&memory.info.span, message, hint);
        }
    }
}

/// Checks that each image of type `nvme` has a namespace and an address.
fn check_source(check: &mut Check<'_>, disk: &Disk) {
    let is_empty = disk.kind == Some(DiskType::Nvme) && disk.source.is_none();
    if is_empty || nvme_sources(disk).into_iter().any(is_incomplete) {
        let message = format!(
            "disk '{}': an NVMe disk needs a <source type='pci' namespace='…'> (1 or more) with \
             an <address>",
            disk.target.dev
        );
        check.error(&disk.info.span, message);
    }
}

fn is_incomplete(source: &DiskSource) -> bool {
    source.address.is_none() || source.namespace.is_none_or(|namespace| namespace == 0)
}

/// Checks that no disk names a function that a hostdev gives to the guest. VFIO lets the emulator
/// open a device once.
fn check_shared_functions(check: &mut Check<'_>, functions: &[AssignedFunction<'_>]) {
    for (first, second) in duplicates(functions.iter().map(|f| (f.address, f))) {
        let is_hostdev = matches!(first.owner, FunctionOwner::Hostdev(_));
        if is_hostdev && second.nvme_disk().is_some() {
            let message = format!(
                "{} is on {}, which {} gives to the guest as a whole",
                second.owner_name(),
                second.address,
                first.owner_name()
            );
            check.error_with_hint(&second.info().span, message, "leave one of the two out");
        }
    }
}

/// Notes that the emulator drives NVMe disks by type1, once for the guest, and the disks that share
/// a controller. A guest whose disks are refused gets the second kind alone.
pub(super) fn notes(domain: &Domain) -> Vec<Note> {
    let mut notes = Vec::new();
    let disks = domain.devices.nvme_functions();
    let is_refused = domain.backend_asked_of_nvme_disks() == Some(Backend::Iommufd);
    if let Some(first) = disks.first().filter(|_| !is_refused) {
        let message = format!(
            "{} is on type1 (/dev/vfio/vfio), whatever the other devices of the guest have: the \
             emulator's own NVMe driver has no other backend",
            first.owner_name()
        );
        notes.push(Note::new(message, first.info().span.0.clone()));
    }

    notes.extend(domain.notes_on_shared_controllers());
    notes
}
