//! Hardware queues in the memory of a guest.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use passthru_iommufd::{Access, Error, HwQueue, HwQueueKind, Ioas, Iova, Mapping, Viommu};
use rustix::io::Errno;

use crate::mock::{self, Device};
use crate::viommu::{QUEUE, viommu};
use crate::{LENGTH, assert_hint, errno, ioas, memory};

#[test]
fn hardware_queues_pin_memory_and_end_last_to_first() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let viommu = viommu(&device, &ioas);
    let memory = memory(LENGTH);
    let mapping = ioas
        .map_memory(&memory, Iova::Any, Access::ReadWrite)
        .unwrap();
    let iova = mapping.iova();
    let page = 0x1000;
    let first = Arc::new(HwQueue::alloc(&viommu, QUEUE, 0, iova, page, None).unwrap());
    let second = HwQueue::alloc(&viommu, QUEUE, 1, iova + page, page, Some(&first)).unwrap();
    let id = first.id();
    drop((first, viommu));

    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::BUSY));

    assert_hint(
        &ioas.unmap_all().unwrap_err(),
        Errno::BUSY,
        "uses the mapping",
    );
    second.close().unwrap();
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::NOENT));

    mapping.unmap().unwrap();
}

/// Marker by which memory is recognized.
const MARK: &[u8; 16] = b"the queue's page";

/// Returns whether the marked memory is still mapped at its address.
fn is_still_mapped(address: *mut u8) -> bool {
    let mut bytes = [0; MARK.len()];
    let memory = File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut bytes, address as u64).is_ok() && bytes == *MARK
}

/// Maps marked memory that only its mapping holds. Returns the memory's address too.
fn map_marked(ioas: &Arc<Ioas>) -> (*mut u8, Mapping) {
    let memory = memory(LENGTH);
    memory.write(0, MARK);
    let mapping = ioas.map_memory(&memory, Iova::At(1 << 30), Access::ReadWrite);
    (memory.as_ptr(), mapping.unwrap())
}

#[test]
fn memory_of_a_hardware_queue_is_not_freed_before_it() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let viommu = viommu(&device, &ioas);
    // Without a queue, the memory is freed with its mapping.
    let (address, mapping) = map_marked(&ioas);

    assert!(is_still_mapped(address));

    drop(mapping);
    assert!(!is_still_mapped(address));

    let (address, mapping) = map_marked(&ioas);
    let queue = HwQueue::alloc(&viommu, QUEUE, 0, 1 << 30, 0x1000, None).unwrap();
    assert_hint(
        &mapping.unmap().unwrap_err(),
        Errno::BUSY,
        "the hardware queue",
    );
    assert!(is_still_mapped(address));
    // The other page of the mapping cannot be unmapped either.
    assert_eq!(
        errno(&ioas.unmap(1 << 30, LENGTH).unwrap_err()),
        Some(Errno::BUSY)
    );
    assert_eq!(errno(&ioas.unmap_all().unwrap_err()), Some(Errno::BUSY));

    queue.close().unwrap();
    assert_eq!(ioas.unmap_all().unwrap(), LENGTH);
    assert!(is_still_mapped(address));

    // The queue now holds the last handle of everything that it needs.
    let (address, mapping) = map_marked(&ioas);
    let queue = HwQueue::alloc(&viommu, QUEUE, 0, 1 << 30, 0x1000, None).unwrap();
    drop((mapping, viommu, device, ioas));
    assert!(is_still_mapped(address));

    drop(queue);
}

fn alloc(viommu: &Arc<Viommu>, kind: HwQueueKind, index: u32, iova: u64) -> Result<HwQueue, Error> {
    HwQueue::alloc(viommu, kind, index, iova, 0x1000, None)
}

#[test]
fn impossible_hardware_queue_is_refused() {
    let ioas = ioas();
    let viommu = viommu(&Device::attach(&ioas).unwrap(), &ioas);
    let mapping = ioas
        .map_memory(&memory(LENGTH), Iova::Any, Access::ReadWrite)
        .unwrap();
    let iova = mapping.iova();
    assert_hint(
        &alloc(&viommu, QUEUE, 1, iova).unwrap_err(),
        Errno::IO,
        "in the order",
    );
    assert_hint(
        &alloc(&viommu, QUEUE, 0, iova + LENGTH).unwrap_err(),
        Errno::NOENT,
        "map all of the memory",
    );
    assert_hint(
        &alloc(&viommu, QUEUE, 9, iova).unwrap_err(),
        Errno::INVAL,
        "a queue that the hardware has",
    );
    let tegra = alloc(&viommu, HwQueueKind::Tegra241Cmdqv, 0, iova).unwrap_err();
    assert_hint(&tegra, Errno::OPNOTSUPP, "does not have this one");
    let unreadable = ioas
        .map_memory(&memory(LENGTH), Iova::Any, Access::Write)
        .unwrap();
    assert_hint(
        &alloc(&viommu, QUEUE, 0, unreadable.iova()).unwrap_err(),
        Errno::PERM,
        "for reading",
    );
    let _first = alloc(&viommu, QUEUE, 0, iova).unwrap();
    assert_hint(
        &alloc(&viommu, QUEUE, 0, iova).unwrap_err(),
        Errno::EXIST,
        "already",
    );
}
