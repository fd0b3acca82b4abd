//! Devices that another process emulates (vhost-user). The process needs access to the guest's
//! memory.

use super::check::Check;
use crate::model::device::disk::DiskType;
use crate::model::device::interface::InterfaceType;
use crate::model::memory::MemoryAccess;
use crate::xml::span::SourceSpan;

pub(super) fn check(check: &mut Check<'_>) {
    if is_shared(check) {
        return;
    }
    let devices = &check.domain.devices;
    let mut users: Vec<(&str, &SourceSpan)> = Vec::new();
    for filesystem in devices.filesystems.iter().filter(|f| f.is_virtiofs()) {
        let device = "a <filesystem> with <driver type='virtiofs'/>";
        users.push((device, &filesystem.info.span));
    }

    for disk in &devices.disks {
        if disk.kind == Some(DiskType::VhostUser) {
            users.push(("a disk of type 'vhostuser'", &disk.info.span));
        }
    }

    for interface in &devices.interfaces {
        if interface.kind == Some(InterfaceType::VhostUser) {
            users.push(("an interface of type 'vhostuser'", &interface.info.span));
        }
    }

    for (device, span) in users {
        let message = format!("{device} needs guest memory that is shared with another process");
        let hint = "add <memoryBacking><source type='memfd'/><access mode='shared'/>\
                    </memoryBacking>, or set memAccess='shared' on each <cell>";
        check.error_with_hint(span, message, hint);
    }
}

/// Returns whether all of the guest's memory is shared.
fn is_shared(check: &Check<'_>) -> bool {
    let backing = check
        .domain
        .memory_backing
        .as_ref()
        .and_then(|backing| backing.access);
    let numa = check.domain.cpu.as_ref().and_then(|cpu| cpu.numa.as_ref());
    match numa
        .map(|numa| &numa.cells)
        .filter(|cells| !cells.is_empty())
    {
        Some(cells) => cells
            .iter()
            .all(|cell| cell.mem_access.or(backing) == Some(MemoryAccess::Shared)),
        None => backing == Some(MemoryAccess::Shared),
    }
}
