//! Memory devices with an address of their own: the ranges are aligned and do not overlap.

use super::check::Check;
use crate::model::device::{Address, MemoryDevice, MemoryModel};
use crate::platform::Board;

/// The end of the guest addresses that a PC uses itself, whatever its memory.
const FOUR_GIB: u64 = 4 << 30;

/// Smallest page of a guest, in bytes.
const PAGE: u64 = 4096;

/// A memory device and its range in the guest's memory.
struct Range<'a> {
    start: u64,
    /// First address behind the range.
    end: u64,
    device: &'a MemoryDevice,
}

/// Checks the addresses that the user gave (libvirt's `virDomainMemoryDefValidate`). The emulator
/// chooses the others.
pub(super) fn check(check: &mut Check<'_>) {
    let mut ranges = Vec::new();
    for device in &check.domain.devices.memories {
        let Some(start) = start_of(device) else {
            continue;
        };
        check_alignment(check, device, start);
        check_low(check, device, start);
        match start.checked_add(size_in_guest(device)) {
            Some(end) => ranges.push(Range { start, end, device }),
            None => check.error(
                &device.info.span,
                format!("the memory device at {start:#x} does not fit into 64 bits"),
            ),
        }
    }

    // The sort is stable: of two devices with one address, the later one gets the error.
    ranges.sort_by_key(|range| range.start);
    let mut furthest: Option<&Range<'_>> = None;
    for range in &ranges {
        if let Some(other) = furthest.filter(|other| range.start < other.end) {
            let message = format!(
                "the memory device at {:#x} overlaps with the one at {:#x}, which ends at {:#x}",
                range.start, other.start, other.end
            );
            check.error_with_hint(
                &range.device.info.span,
                message,
                "move one of them, or leave the addresses out",
            );
        }
        if furthest.is_none_or(|other| other.end < range.end) {
            furthest = Some(range);
        }
    }
}

/// Returns the number of bytes in the guest's memory.
///
/// An NVDIMM keeps its label at its end, out of the guest's memory. The rest is rounded down to the
/// alignment of its file (QEMU's `nvdimm_prepare_memory_region`).
fn size_in_guest(device: &MemoryDevice) -> u64 {
    let size = device.target.size.bytes();
    let label = device.target.label.as_ref();
    let Some(label) = label.and_then(|label| label.size) else {
        return size;
    };
    let source = device.source.as_ref();
    let alignment = source.and_then(|source| source.alignsize);
    let alignment = alignment.map_or(PAGE, |alignment| alignment.bytes().max(1));
    let rest = size.saturating_sub(label.bytes());
    rest - rest % alignment
}

/// Returns the address that the user gave a device. An address of 0 is none, as in libvirt.
fn start_of(device: &MemoryDevice) -> Option<u64> {
    let of_module = match &device.info.address {
        Some(Address::Dimm(dimm)) => dimm.base,
        _ => None,
    };
    let of_target = device.target.address.as_ref().and_then(|at| at.base);
    let start = if device.has_slot() {
        of_module
    } else {
        of_target
    };
    start.filter(|start| *start != 0)
}

/// Checks that a memory device of a PC is above its memory and devices below 4 GiB.
fn check_low(check: &mut Check<'_>, device: &MemoryDevice, start: u64) {
    let is_pc = matches!(check.machine.board, Board::I440fx | Board::Q35);
    if is_pc && start < FOUR_GIB {
        let message = format!(
            "the memory device at {start:#x} overlaps with the memory and devices of a PC below \
             4 GiB"
        );
        check.error_with_hint(
            &device.info.span,
            message,
            "move it, or leave the address out",
        );
    }
}

/// Checks that a `virtio-mem` device begins at a multiple of its block size, and a `virtio-pmem`
/// device at a page.
fn check_alignment(check: &mut Check<'_>, device: &MemoryDevice, start: u64) {
    let (unit, name) = match device.model {
        Some(MemoryModel::VirtioMem) => {
            let block = device.target.block.map_or(0, |block| block.bytes());
            (block, "the <block>")
        }
        Some(MemoryModel::VirtioPmem) => (PAGE, "a page"),
        _ => return,
    };
    // The check of the device itself reports other block sizes.
    if unit.is_power_of_two() && !start.is_multiple_of(unit) {
        let kib = unit / 1024;
        check.error(
            &device.info.span,
            format!("the address {start:#x} must be a multiple of {name}, {kib} KiB"),
        );
    }
}
