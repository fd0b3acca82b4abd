//! Devices whose work another process does (vhost-user): it must see the guest's memory.

use super::Check;
use crate::model::device::disk::DiskType;
use crate::model::device::interface::InterfaceType;
use crate::model::memory::MemoryAccess;
use crate::xml::span::SourceSpan;

pub(super) fn check(check: &mut Check<'_>) {
    if is_shared(check) {
        return;
    }
    let devices = &check.domain.devices;
    let filesystems = devices.filesystems.iter().filter(|f| f.is_virtiofs());
    let disks = devices
        .disks
        .iter()
        .filter(|d| d.kind == Some(DiskType::VhostUser));
    let interfaces = devices
        .interfaces
        .iter()
        .filter(|i| i.kind == Some(InterfaceType::VhostUser));
    let filesystems = filesystems.map(|f| {
        (
            "a <filesystem> with <driver type='virtiofs'/>",
            &f.info.span,
        )
    });
    let disks = disks.map(|d| ("a disk of type 'vhostuser'", &d.info.span));
    let interfaces = interfaces.map(|i| ("an interface of type 'vhostuser'", &i.info.span));
    let all: Vec<(&str, &SourceSpan)> = filesystems.chain(disks).chain(interfaces).collect();
    for (what, span) in all {
        let message = format!("{what} needs guest memory that is shared with another process");
        let hint = "add <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>, or set memAccess='shared' on each <cell>";
        check.error_with_hint(span, message, hint);
    }
}

/// Whether all of the guest's memory is shared.
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
