//! Virtual IOMMUs: devices behind them, their events and registers.
#![allow(unsafe_code)]

use std::sync::Arc;

use passthru_iommufd::{
    BoundDevice, Error, HwQueueKind, Hwpt, HwptOptions, Invalidations, Ioas, MmapArea, Vdevice,
    Vevent, VeventData, VeventKind, VeventQueue, Viommu, ViommuData, ViommuKind, ViommuMmio,
};
use rustix::io::Errno;

use crate::mock::{self, Device, words};
use crate::{assert_hint, ioas, nest_parent};

pub(crate) const EVENTS: VeventKind = VeventKind::Raw {
    veventq_type: mock::VEVENTQ,
    length: 4,
};
pub(crate) const QUEUE: HwQueueKind = HwQueueKind::Raw(mock::HW_QUEUE);

fn kind(data: Vec<u8>) -> ViommuKind {
    ViommuKind::Raw {
        viommu_type: mock::VIOMMU,
        data,
    }
}

pub(crate) fn viommu(device: &Device, ioas: &Arc<Ioas>) -> Arc<Viommu> {
    Arc::new(Viommu::alloc(device, &nest_parent(device, ioas), &kind(vec![])).unwrap())
}

/// A device behind a virtual IOMMU, with the guest's id 0x42, on a guest's page table.
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
fn viommu_of_unfit_model_or_parent_is_refused() {
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
    let Nested {
        device,
        viommu,
        _hwpt: hwpt,
        _vdevice: vdevice,
    } = nested(&ioas);
    assert_eq!(hwpt.ioas().id(), ioas.id());

    let id = viommu.id();
    drop((vdevice, viommu, device));
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::BUSY));

    hwpt.close().unwrap();
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::NOENT));
}

/// Returns the area of the registers, from the data that the mock returned for a virtual IOMMU.
pub(crate) fn register_area(data: &[u8]) -> MmapArea {
    MmapArea {
        offset: u64::from_ne_bytes(data[8..16].try_into().unwrap()),
        length: u64::from_ne_bytes(data[16..24].try_into().unwrap()),
    }
}

#[test]
fn mapped_registers_keep_the_viommu() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let data = words(&[0x1234_5678, 0, 0, 0, 0, 0]);
    let viommu = Viommu::alloc(&device, &nest_parent(&device, &ioas), &kind(data)).unwrap();
    let ViommuData::Raw(returned) = viommu.data() else {
        panic!("{:?}", viommu.data())
    };

    assert_eq!(returned[4..8], words(&[0x1234_5678]));

    let area = register_area(returned);
    let id = viommu.id();
    let viommu = Arc::new(viommu);
    let registers = ViommuMmio::map(&viommu, area).unwrap();
    assert_eq!(registers.len() as u64, area.length);

    // SAFETY: the registers are mapped, and this is the first of them.
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
    let area = MmapArea {
        offset: 0x1000,
        length: 0x2000,
    };
    let error = ViommuMmio::map(&viommu, area).unwrap_err();
    assert_hint(&error, Errno::NXIO, ", as a whole");
}

#[test]
fn device_is_behind_one_viommu_at_a_time() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let one = viommu(&device, &ioas);
    let other = viommu(&device, &ioas);
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
    let id = viommu.id();
    let device_id = device.id();
    let vdevice = Vdevice::alloc(&viommu, &device, 1).unwrap();
    let kept = Arc::downgrade(&device.binding());
    drop((viommu, device));

    assert!(kept.upgrade().is_some());
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::BUSY));

    drop(vdevice);
    assert!(kept.upgrade().is_none());
    // The kernel reuses the id.
    assert_eq!(Device::attach(&ioas).unwrap().id(), device_id);
    assert_eq!(mock::destroy(ioas.context(), id), Err(Errno::NOENT));
}

/// Invalidates cached entries of the device with the guest's id 0x42, by their numbers.
fn invalidate(viommu: &Viommu, numbers: &[u32]) -> Result<(), Error> {
    let entries = numbers.iter().flat_map(|number| words(&[0, 0x42, *number]));
    let entries: Vec<u8> = entries.collect();
    viommu.invalidate(Invalidations::Raw {
        data_type: mock::INVALIDATION,
        entry_length: 12,
        entries: &entries,
    })
}

#[test]
fn device_entries_are_invalidated_by_the_guests_id() {
    let ioas = ioas();
    let nested = nested(&ioas);
    let valid = 0x00ba_ddad;
    assert!(nested.device.has_cached([valid; 4]));

    invalidate(&nested.viommu, &[0, 3]).unwrap();
    assert!(nested.device.has_cached([0, valid, valid, 0]));

    let error = invalidate(&nested.viommu, &[1, 9, 2]).unwrap_err();
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
    assert!(nested.device.has_cached([0, 0, valid, 0]));
}

#[test]
fn device_events_carry_the_guests_id() {
    let ioas = ioas();
    let nested = nested(&ioas);
    let queue = VeventQueue::alloc(&nested.viommu, EVENTS, 8).unwrap();
    assert_eq!(queue.read().unwrap(), []);

    nested.device.event().unwrap();
    nested.device.event().unwrap();
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
    let nested = nested(&ioas);
    let queue = VeventQueue::alloc(&nested.viommu, EVENTS, 2).unwrap();
    for _ in 0..5 {
        nested.device.event().unwrap();
    }
    let events = queue.read().unwrap();
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();

    assert_eq!(sequences, [0, 1, 4]);
    assert_eq!(events[2].data, None);
    assert_eq!(events[2].lost_since(Some(1)), 3);

    nested.device.event().unwrap();
    let events = queue.read().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].lost_since(Some(4)), 0);
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
