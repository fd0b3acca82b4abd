//! Virtual IOMMUs: devices behind them, their events, queues and registers.
#![allow(unsafe_code)]

use std::any::Any;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use passthru_iommufd::{
    Access, Accounting, BoundDevice, Error, FaultQueue, HwQueue, HwQueueKind, Hwpt, HwptOptions,
    Invalidations, Ioas, Iommufd, Iova, MmapArea, Vdevice, Vevent, VeventData, VeventKind,
    VeventQueue, Viommu, ViommuData, ViommuKind,
};
use passthru_lab::Held;
use rustix::io::Errno;

use crate::mock::{self, Device, words};
use crate::{LENGTH, assert_hint, errno, ioas, memfd, memory, nest_parent};

const EVENTS: VeventKind = VeventKind::Raw {
    veventq_type: mock::VEVENTQ,
    length: 4,
};
const QUEUE: HwQueueKind = HwQueueKind::Raw(mock::HW_QUEUE);

fn kind(data: Vec<u8>) -> ViommuKind {
    ViommuKind::Raw {
        viommu_type: mock::VIOMMU,
        data,
    }
}

fn viommu(device: &Device, ioas: &Arc<Ioas>) -> Arc<Viommu> {
    Arc::new(Viommu::alloc(device, &nest_parent(device, ioas), &kind(vec![])).unwrap())
}

/// A device behind a virtual IOMMU as 0x42, on a guest's page table.
struct Nested {
    device: Device,
    viommu: Arc<Viommu>,
    _hwpt: Hwpt,
    _vdevice: Vdevice,
}

fn nested(ioas: &Arc<Ioas>) -> Nested {
    let device = Device::attach(ioas).unwrap();
    let viommu = viommu(&device, ioas);
    let vdevice = Vdevice::alloc(&viommu, &device, 0x42).unwrap();
    let hwpt = Hwpt::alloc(&device, &viommu, &mock::guest(1)).unwrap();
    device.replace(hwpt.id()).unwrap();
    Nested {
        device,
        viommu,
        _hwpt: hwpt,
        _vdevice: vdevice,
    }
}

#[test]
fn viommu_keeps_its_nest_parent() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let viommu = viommu(&device, &ioas);
    assert_eq!(viommu.data(), &ViommuData::None);
    let parent = viommu.hwpt().id();
    drop(device);
    assert_eq!(mock::destroy(ioas.context(), parent), Err(Errno::BUSY));
    Arc::into_inner(viommu).unwrap().close().unwrap();
    assert_eq!(mock::destroy(ioas.context(), parent), Err(Errno::NOENT));
}

#[test]
fn viommu_of_another_model_is_refused() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let parent = nest_parent(&device, &ioas);
    let error = Viommu::alloc(&device, &parent, &ViommuKind::ArmSmmuv3).unwrap_err();
    assert_hint(&error, Errno::OPNOTSUPP, "does not have this one");
    let plain = Arc::new(Hwpt::alloc(&device, &ioas, &HwptOptions::default()).unwrap());
    let error = Viommu::alloc(&device, &plain, &kind(vec![])).unwrap_err();
    assert_hint(&error, Errno::INVAL, "a nest parent");
    let other = crate::ioas();
    let other = nest_parent(&Device::attach(&other).unwrap(), &other);
    let error = Viommu::alloc(&device, &other, &kind(vec![])).unwrap_err();
    assert!(matches!(error, Error::OtherContext { .. }), "{error:?}");
}

#[test]
fn page_table_keeps_its_viommu() {
    let ioas = ioas();
    let it = nested(&ioas);
    let Nested {
        device,
        viommu,
        _hwpt: hwpt,
        _vdevice: vdevice,
    } = it;
    assert_eq!(hwpt.ioas().id(), ioas.id());
    let id = viommu.id();
    drop((vdevice, viommu, device));
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::BUSY));
    hwpt.close().unwrap();
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::NOENT));
}

#[test]
fn mapped_registers_keep_the_viommu() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let data = words(&[0x1234_5678, 0, 0, 0, 0, 0]);
    let viommu = Viommu::alloc(&device, &nest_parent(&device, &ioas), &kind(data)).unwrap();
    let ViommuData::Raw(answer) = viommu.data() else {
        panic!("{:?}", viommu.data())
    };
    assert_eq!(answer[4..8], words(&[0x1234_5678]));
    let number = |at: usize| u64::from_ne_bytes(answer[at..at + 8].try_into().unwrap());
    let area = MmapArea {
        offset: number(8),
        length: number(16),
    };
    let (id, viommu) = (viommu.id(), Arc::new(viommu));
    let registers = viommu.mmap(area).unwrap();
    assert_eq!(registers.len() as u64, area.length);
    // SAFETY: the mapping is there, and this is its first register.
    let first = unsafe { registers.as_ptr().cast::<u32>().read_volatile() };
    assert_eq!(first, 0x1234_5678);
    drop(viommu);
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::BUSY));
    drop(registers);
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::NOENT));
}

#[test]
fn registers_outside_the_area_are_not_mapped() {
    let ioas = ioas();
    let viommu = viommu(&Device::attach(&ioas).unwrap(), &ioas);
    let error = viommu
        .mmap(MmapArea {
            offset: 0x1000,
            length: 0x2000,
        })
        .unwrap_err();
    assert_hint(&error, Errno::NXIO, ", as a whole");
}

#[test]
fn device_is_behind_one_viommu_at_a_time() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let (one, other) = (viommu(&device, &ioas), viommu(&device, &ioas));
    let vdevice = Vdevice::alloc(&one, &device, 0x42).unwrap();
    assert_eq!(vdevice.virt_id(), 0x42);
    let error = Vdevice::alloc(&other, &device, 0x42).unwrap_err();
    assert_hint(&error, Errno::EXIST, "not behind a virtual IOMMU yet");
    let second = Device::attach(&ioas).unwrap();
    let error = Vdevice::alloc(&one, &second, 0x42).unwrap_err();
    assert_hint(&error, Errno::EXIST, "a number that is free");
    vdevice.close().unwrap();
    Vdevice::alloc(&other, &device, 0x42).unwrap();
}

#[test]
fn vdevice_keeps_its_device_and_viommu() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let viommu = viommu(&device, &ioas);
    let (id, device_id) = (viommu.id(), device.id());
    let vdevice = Vdevice::alloc(&viommu, &device, 1).unwrap();
    let kept = Arc::downgrade(&device.binding());
    drop((viommu, device));
    assert!(kept.upgrade().is_some());
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::BUSY));
    drop(vdevice);
    assert!(kept.upgrade().is_none());
    // The id is free again, and not lost.
    assert_eq!(Device::attach(&ioas).unwrap().id(), device_id);
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::NOENT));
}

#[test]
fn device_entries_are_invalidated_by_the_guests_id() {
    let ioas = ioas();
    let it = nested(&ioas);
    let forget = |numbers: &[u32]| {
        let entries: Vec<u8> = numbers
            .iter()
            .flat_map(|number| words(&[0, 0x42, *number]))
            .collect();
        let raw = Invalidations::Raw {
            data_type: mock::INVALIDATION,
            entry_length: 12,
            entries: &entries,
        };
        it.viommu.invalidate(raw)
    };
    let full = 0x00ba_ddad;
    assert!(it.device.has_cached([full; 4]));
    forget(&[0, 3]).unwrap();
    assert!(it.device.has_cached([0, full, full, 0]));
    let error = forget(&[1, 9, 2]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Invalidate {
                entries: 3,
                handled: 1,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(it.device.has_cached([0, 0, full, 0]));
}

#[test]
fn device_events_carry_the_guests_id() {
    let ioas = ioas();
    let it = nested(&ioas);
    let queue = VeventQueue::alloc(&it.viommu, EVENTS, 8).unwrap();
    assert_eq!(queue.read().unwrap(), []);
    it.device.event().unwrap();
    it.device.event().unwrap();
    let data = Some(VeventData::Raw(words(&[0x42])));
    let events = [0, 1].map(|sequence| Vevent {
        sequence,
        data: data.clone(),
    });
    assert_eq!(queue.read().unwrap(), events);
    assert_eq!(queue.read().unwrap(), []);
    queue.close().unwrap();
}

#[test]
fn events_lost_to_a_full_queue_are_counted() {
    let ioas = ioas();
    let it = nested(&ioas);
    let queue = VeventQueue::alloc(&it.viommu, EVENTS, 2).unwrap();
    (0..5).for_each(|_| it.device.event().unwrap());
    let events = queue.read().unwrap();
    assert_eq!(
        events
            .iter()
            .map(|event| event.sequence)
            .collect::<Vec<_>>(),
        [0, 1, 4]
    );
    assert_eq!(
        (events[2].data.clone(), events[2].lost_since(Some(1))),
        (None, 3)
    );
    it.device.event().unwrap();
    let events = queue.read().unwrap();
    assert_eq!((events.len(), events[0].lost_since(Some(4))), (1, 0));
}

#[test]
fn viommu_has_one_event_queue_for_a_type() {
    let ioas = ioas();
    let viommu = viommu(&Device::attach(&ioas).unwrap(), &ioas);
    let queue = VeventQueue::alloc(&viommu, EVENTS, 2).unwrap();
    assert_hint(
        &VeventQueue::alloc(&viommu, EVENTS, 2).unwrap_err(),
        Errno::EXIST,
        "already",
    );
    assert_hint(
        &VeventQueue::alloc(&viommu, EVENTS, 0).unwrap_err(),
        Errno::INVAL,
        "1 to 2^19",
    );
    let endless = VeventKind::Raw {
        veventq_type: mock::VEVENTQ,
        length: usize::MAX,
    };
    assert_hint(
        &VeventQueue::alloc(&viommu, endless, 2).unwrap_err(),
        Errno::TOOBIG,
        "4096",
    );
    let id = viommu.id();
    drop(viommu);
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::BUSY));
    queue.close().unwrap();
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::NOENT));
}

#[test]
fn hardware_queues_pin_memory_and_end_last_to_first() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let viommu = viommu(&device, &ioas);
    let memory = memory(LENGTH);
    let mapping = ioas
        .map_memory(&memory, Iova::Any, Access::ReadWrite)
        .unwrap();
    let (iova, page) = (mapping.iova(), 0x1000);
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

/// What is written to memory, to know it again.
const MARK: &[u8; 16] = b"the queue's page";

/// Whether the memory that was marked is where it was.
fn is_there(address: *mut u8) -> bool {
    let mut bytes = [0; MARK.len()];
    let memory = File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut bytes, address as u64).is_ok() && bytes == *MARK
}

#[test]
fn memory_of_a_hardware_queue_is_not_freed_before_it() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let viommu = viommu(&device, &ioas);
    let given_up = || {
        let memory = memory(LENGTH);
        memory.write(0, MARK);
        let mapping = ioas
            .map_memory(&memory, Iova::At(1 << 30), Access::ReadWrite)
            .unwrap();
        (memory.as_ptr(), mapping)
    };
    // Without a queue it goes with its mapping.
    let (address, mapping) = given_up();
    assert!(is_there(address));
    drop(mapping);
    assert!(!is_there(address));

    let (address, mapping) = given_up();
    let queue = HwQueue::alloc(&viommu, QUEUE, 0, 1 << 30, 0x1000, None).unwrap();
    assert_hint(
        &mapping.unmap().unwrap_err(),
        Errno::BUSY,
        "the hardware queue",
    );
    assert!(is_there(address));
    // Neither does the other page of the mapping go, nor all.
    assert_eq!(
        errno(&ioas.unmap(1 << 30, LENGTH).unwrap_err()),
        Some(Errno::BUSY)
    );
    assert_eq!(errno(&ioas.unmap_all().unwrap_err()), Some(Errno::BUSY));
    queue.close().unwrap();
    assert_eq!(ioas.unmap_all().unwrap(), LENGTH);
    assert!(is_there(address));

    // The same where the queue goes with the last handle of all that it is in.
    let (address, mapping) = given_up();
    let queue = HwQueue::alloc(&viommu, QUEUE, 0, 1 << 30, 0x1000, None).unwrap();
    drop((mapping, viommu, device, ioas));
    assert!(is_there(address));
    drop(queue);
}

/// One of each object, and each of those that need others.
fn one_of_each(context: &Arc<Iommufd>) -> Vec<Box<dyn Any>> {
    let ioas = Arc::new(Ioas::alloc(context).unwrap());
    let device = Device::attach(&ioas).unwrap();
    let iova = ioas.map_file(memfd(LENGTH), 0, LENGTH, Iova::Any, Access::ReadWrite);
    let viommu = viommu(&device, &ioas);
    let queue = |index, after| {
        HwQueue::alloc(
            &viommu,
            QUEUE,
            index,
            *iova.as_ref().unwrap(),
            0x1000,
            after,
        )
    };
    let first = Arc::new(queue(0, None).unwrap());
    let second = queue(1, Some(&first)).unwrap();
    let faults = Arc::new(FaultQueue::alloc(context).unwrap());
    let options = HwptOptions {
        fault_queue: Some(Arc::clone(&faults)),
        ..mock::guest(1)
    };
    let nested = Hwpt::alloc(&device, &viommu, &options).unwrap();
    let vdevice = Vdevice::alloc(&viommu, &device, 1).unwrap();
    let events = VeventQueue::alloc(&viommu, EVENTS, 8).unwrap();
    let plain = Hwpt::alloc(&device, &ioas, &HwptOptions::default()).unwrap();
    vec![
        // A device keeps what it is attached to.
        Box::new((device, ioas)),
        Box::new(viommu),
        Box::new(first),
        Box::new(second),
        Box::new(faults),
        Box::new(nested),
        Box::new(vdevice),
        Box::new(events),
        Box::new(plain),
    ]
}

#[test]
fn objects_dropped_in_any_order_leave_nothing() {
    let _host = passthru_lab::host();
    let before = Held::now().unwrap();
    let mut random = 1_usize;
    for _ in 0..100 {
        let context = Arc::new(Iommufd::open().unwrap());
        let mut objects = one_of_each(&context);
        while !objects.is_empty() {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            drop(objects.swap_remove((random >> 33) % objects.len()));
        }
        // Only while the context is empty.
        context.set_accounting(Accounting::Process).unwrap();
    }
    assert_eq!(Held::now().unwrap(), before);
}

#[test]
fn impossible_hardware_queue_is_refused() {
    let ioas = ioas();
    let viommu = viommu(&Device::attach(&ioas).unwrap(), &ioas);
    let mapping = ioas
        .map_memory(&memory(LENGTH), Iova::Any, Access::ReadWrite)
        .unwrap();
    let queue = |kind, index, iova| HwQueue::alloc(&viommu, kind, index, iova, 0x1000, None);
    let iova = mapping.iova();
    assert_hint(
        &queue(QUEUE, 1, iova).unwrap_err(),
        Errno::IO,
        "in the order",
    );
    assert_hint(
        &queue(QUEUE, 0, iova + LENGTH).unwrap_err(),
        Errno::NOENT,
        "map all of the memory",
    );
    assert_hint(
        &queue(QUEUE, 9, iova).unwrap_err(),
        Errno::INVAL,
        "a queue that the hardware has",
    );
    let tegra = queue(HwQueueKind::Tegra241Cmdqv, 0, iova).unwrap_err();
    assert_hint(&tegra, Errno::OPNOTSUPP, "does not have this one");
    let unreadable = ioas
        .map_memory(&memory(LENGTH), Iova::Any, Access::Write)
        .unwrap();
    assert_hint(
        &queue(QUEUE, 0, unreadable.iova()).unwrap_err(),
        Errno::PERM,
        "for reading",
    );
    let _first = queue(QUEUE, 0, iova).unwrap();
    assert_hint(&queue(QUEUE, 0, iova).unwrap_err(), Errno::EXIST, "already");
}
