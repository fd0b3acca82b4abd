//! Every operation, with every failure that the kernel can inject into it.
//!
//! The operation returns an error or succeeds, leaves nothing behind, and can be repeated.
#![allow(unsafe_code)]

use std::sync::Arc;

use passthru_iommufd::{
    Access, Accounting, DirtyRange, DmaMemory, Error, FaultAccess, FaultQueue, HwInfo, HwQueue,
    HwQueueKind, Hwpt, HwptOptions, Invalidations, Ioas, Iommufd, Iova, Mapping, PageResponse,
    PageResponseCode, Vdevice, VeventKind, VeventQueue, Viommu, ViommuData, ViommuKind, ViommuMmio,
};
use passthru_lab::{HeldResources, each_failure};

use crate::mock::{self, Device, words};
use crate::viommu::register_area;
use crate::{LENGTH, memfd, memory, nest_parent};

const ACCESS: Access = Access::ReadWrite;
const EVENTS: VeventKind = VeventKind::Raw {
    veventq_type: mock::VEVENTQ,
    length: 4,
};

/// Runs `operation` once for each failure, each time on a new result of `prepare` in a new context.
///
/// A failed operation must succeed when repeated, and nothing may be left when all is dropped.
#[track_caller]
fn withstands<S, T>(
    prepare: impl Fn(&Arc<Iommufd>) -> S,
    operation: impl Fn(&S) -> Result<T, Error>,
) {
    let host = passthru_lab::host();
    let mut failed = 0;
    let injected = each_failure(host, |failure| {
        let before = HeldResources::read().unwrap();
        let context = Arc::new(Iommufd::open().unwrap());
        context.set_accounting(Accounting::Process).unwrap();
        let state = prepare(&context);
        let result = failure.during(|| operation(&state).map(drop));
        if result.is_err() {
            failed += 1;
            operation(&state).unwrap();
        }
        drop(state);
        // Fails unless the context is empty.
        context.set_accounting(Accounting::User).unwrap();
        drop(context);
        assert_eq!(HeldResources::read().unwrap(), before, "{:?}", result.err());
    });
    assert!(injected > 0 && failed > 0, "{failed} of {injected}");
}

fn ioas(context: &Arc<Iommufd>) -> Arc<Ioas> {
    Arc::new(Ioas::alloc(context).unwrap())
}

/// A device that is attached to an I/O address space.
fn attached(context: &Arc<Iommufd>) -> (Device, Arc<Ioas>) {
    let ioas = ioas(context);
    (Device::attach(&ioas).unwrap(), ioas)
}

/// Memory that a device reaches.
fn mapped(context: &Arc<Iommufd>) -> (Mapping, Device, Arc<Ioas>) {
    let (device, ioas) = attached(context);
    (
        ioas.map_memory(&memory(LENGTH), Iova::Any, ACCESS).unwrap(),
        device,
        ioas,
    )
}

/// A virtual IOMMU, and a device behind its physical IOMMU.
fn viommu(context: &Arc<Iommufd>) -> (Arc<Viommu>, Device, Arc<Ioas>) {
    let (device, ioas) = attached(context);
    let kind = ViommuKind::Raw {
        viommu_type: mock::VIOMMU,
        data: words(&[1, 0, 0, 0, 0, 0]),
    };
    let viommu = Viommu::alloc(&device, &nest_parent(&device, &ioas), &kind).unwrap();
    (Arc::new(viommu), device, ioas)
}

/// A device, with a file mapped for it.
fn mapped_file(context: &Arc<Iommufd>) -> (Device, Arc<Ioas>) {
    let (device, ioas) = attached(context);
    ioas.map_file(memfd(LENGTH), 0, LENGTH, Iova::Any, ACCESS)
        .unwrap();
    (device, ioas)
}

/// A device and a nest parent for it.
fn parent(context: &Arc<Iommufd>) -> (Device, Arc<Hwpt>) {
    let (device, ioas) = attached(context);
    let parent = nest_parent(&device, &ioas);
    (device, parent)
}

/// A device and a guest's page table for it.
fn nested(context: &Arc<Iommufd>) -> (Device, Hwpt) {
    let (device, parent) = parent(context);
    let nested = Hwpt::alloc(&device, &parent, &mock::guest(7)).unwrap();
    (device, nested)
}

/// A device that has written to the last of 1024 tracked pages.
fn tracked(context: &Arc<Iommufd>) -> (Device, Mapping, Hwpt) {
    let ioas = ioas(context);
    ioas.set_huge_pages(false).unwrap();
    let device = Device::attach(&ioas).unwrap();
    let options = HwptOptions {
        dirty_tracking: true,
        ..HwptOptions::default()
    };
    let hwpt = Hwpt::alloc(&device, &ioas, &options).unwrap();
    device.replace(hwpt.id()).unwrap();
    let mapping = ioas
        .map_memory(&memory(1024 * 0x1000), Iova::Any, ACCESS)
        .unwrap();
    hwpt.set_dirty_tracking(true).unwrap();
    device.write_to(mapping.iova(), &[1023]);
    (device, mapping, hwpt)
}

/// A queue with a fault of a device.
fn faulting(context: &Arc<Iommufd>) -> (Arc<FaultQueue>, Device, Hwpt) {
    let (device, ioas) = attached(context);
    let queue = Arc::new(FaultQueue::alloc(context).unwrap());
    let options = HwptOptions {
        fault_queue: Some(Arc::clone(&queue)),
        ..HwptOptions::default()
    };
    let hwpt = Hwpt::alloc(&device, &ioas, &options).unwrap();
    device.replace(hwpt.id()).unwrap();
    device.fault(None, 1, FaultAccess::READ, 0x1000);
    (queue, device, hwpt)
}

/// A queue of events, one of them lost.
fn eventful(context: &Arc<Iommufd>) -> (VeventQueue, Vdevice, Device, Hwpt) {
    let (viommu, device, _) = viommu(context);
    let queue = VeventQueue::alloc(&viommu, EVENTS, 1).unwrap();
    let vdevice = Vdevice::alloc(&viommu, &device, 0x42).unwrap();
    let hwpt = Hwpt::alloc(&device, &viommu, &mock::guest(1)).unwrap();
    device.replace(hwpt.id()).unwrap();
    for _ in 0..2 {
        device.event().unwrap();
    }
    (queue, vdevice, device, hwpt)
}

#[test]
fn failed_open_of_a_context_can_be_repeated() {
    withstands(|_| (), |()| Iommufd::open());
    withstands(Arc::clone, |context| Iommufd::from_fd(context.duplicate()?));
}

#[test]
fn failed_options_of_a_context_can_be_repeated() {
    withstands(Arc::clone, |context| context.accounting());
    withstands(Arc::clone, |context| {
        context.set_accounting(Accounting::Process)
    });
    withstands(ioas, |ioas| ioas.set_compat());
    withstands(ioas, |ioas| ioas.context().compat_ioas());
    withstands(ioas, |ioas| ioas.context().clear_compat_ioas());
}

#[test]
fn failed_change_of_process_can_be_repeated() {
    withstands(mapped_file, |(_, ioas)| ioas.context().change_process());
}

#[test]
fn failed_alloc_and_close_of_an_ioas_can_be_repeated() {
    withstands(Arc::clone, Ioas::alloc);
    withstands(Arc::clone, |context| Ioas::alloc(context)?.close());
}

#[test]
fn failed_map_of_memory_can_be_repeated() {
    withstands(attached, |(_, ioas)| {
        let memory = Arc::new(DmaMemory::alloc(LENGTH as usize)?);
        ioas.map_memory(&memory, Iova::Any, ACCESS).map(drop)
    });
    withstands(attached, |(_, ioas)| {
        let memory = Arc::new(DmaMemory::alloc(LENGTH as usize)?);
        ioas.map_memory(&memory, Iova::Any, ACCESS)?.unmap()
    });
    withstands(
        |context| (attached(context), memory(LENGTH)),
        // SAFETY: the I/O address space is dropped before the memory.
        |((_, ioas), memory)| unsafe { ioas.map(memory.as_ptr(), LENGTH, Iova::Any, ACCESS) },
    );
}

#[test]
fn failed_map_of_a_file_can_be_repeated() {
    withstands(
        |context| (attached(context), memfd(LENGTH)),
        |((_, ioas), file)| ioas.map_file(file, 0, LENGTH, Iova::Any, ACCESS),
    );
    withstands(
        |context| (attached(context), mock::dma_buf(context, LENGTH as u32)),
        |((_, ioas), file)| ioas.map_file(file, 0, LENGTH, Iova::Any, ACCESS),
    );
}

#[test]
fn failed_copy_and_unmap_can_be_repeated() {
    withstands(
        |context| (mapped(context), attached(context)),
        // SAFETY: the copies are unmapped with their I/O address space, before the memory.
        |((mapping, _, from), (_, to))| unsafe {
            to.copy_from(from, mapping.iova(), LENGTH, Iova::Any, ACCESS)
        },
    );
    withstands(mapped, |(_, _, ioas)| ioas.unmap_all());
    withstands(mapped, |(mapping, _, ioas)| {
        match ioas.unmap(mapping.iova(), LENGTH) {
            // The first attempt unmapped the range, but the kernel could not report success.
            Err(Error::Unmap { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound
                    && ioas.unmap_all().is_ok_and(|unmapped| unmapped == 0) =>
            {
                Ok(0)
            }
            other => other,
        }
    });
}

#[test]
fn failed_ranges_and_huge_pages_can_be_repeated() {
    withstands(attached, |(_, ioas)| ioas.iova_ranges());
    withstands(attached, |(_, ioas)| {
        ioas.allow_iovas(&[1 << 24..=(1 << 25) - 1])
    });
    withstands(attached, |(_, ioas)| ioas.huge_pages());
    withstands(attached, |(_, ioas)| ioas.set_huge_pages(false));
}

#[test]
fn failed_page_tables_can_be_repeated() {
    let options = HwptOptions {
        dirty_tracking: true,
        ..HwptOptions::default()
    };
    withstands(mapped, |(_, device, ioas)| {
        Hwpt::alloc(device, ioas, &options)
    });
    withstands(mapped, |(_, device, ioas)| {
        Hwpt::alloc(device, ioas, &options)?.close()
    });
    withstands(
        |context| {
            let queue = FaultQueue::alloc(context).unwrap();
            (attached(context), Arc::new(queue))
        },
        |((device, ioas), queue)| {
            let options = HwptOptions {
                fault_queue: Some(Arc::clone(queue)),
                ..HwptOptions::default()
            };
            Hwpt::alloc(device, ioas, &options)
        },
    );
}

#[test]
fn failed_nesting_can_be_repeated() {
    withstands(parent, |(device, parent)| {
        Hwpt::alloc(device, parent, &mock::guest(7))
    });
    withstands(nested, |(_, nested)| {
        let entries = &words(&[0, 1, 0, 2]);
        nested.invalidate(Invalidations::Raw {
            data_type: mock::INVALIDATION,
            entry_length: 8,
            entries,
        })
    });
}

#[test]
fn failed_dirty_tracking_loses_no_page() {
    withstands(tracked, |(_, _, hwpt)| hwpt.set_dirty_tracking(false));
    withstands(tracked, |(_, _, hwpt)| hwpt.set_dirty_tracking(true));
    withstands(tracked, |(_, mapping, hwpt)| {
        let range = DirtyRange::new(mapping.iova(), 1024 * 0x1000, 0x1000);
        let mut bitmap = [0; 16];
        hwpt.dirty_bitmap(range, true, &mut bitmap)?;
        assert_eq!(bitmap[15], 1 << 63);
        Ok(())
    });
}

#[test]
fn failed_query_of_an_iommu_can_be_repeated() {
    withstands(attached, |(device, _)| HwInfo::query(device));
    withstands(attached, |(device, _)| {
        HwInfo::query_type(device, mock::HW_INFO)
    });
}

#[test]
fn failed_fault_queue_loses_no_fault() {
    withstands(Arc::clone, FaultQueue::alloc);
    withstands(Arc::clone, |context| FaultQueue::alloc(context)?.close());
    withstands(faulting, |(queue, _, _)| {
        assert_eq!(queue.read()?.len(), 1);
        Ok(())
    });
    withstands(
        |context| {
            let (queue, device, hwpt) = faulting(context);
            let cookie = queue.read().unwrap()[0].cookie;
            (cookie, queue, device, hwpt)
        },
        |(cookie, queue, ..)| {
            queue.respond(&[PageResponse {
                cookie: *cookie,
                code: PageResponseCode::Success,
            }])
        },
    );
}

#[test]
fn failed_viommu_and_its_registers_can_be_repeated() {
    let kind = ViommuKind::Raw {
        viommu_type: mock::VIOMMU,
        data: words(&[1, 0, 0, 0, 0, 0]),
    };
    withstands(parent, |(device, parent)| {
        Viommu::alloc(device, parent, &kind)
    });
    withstands(parent, |(device, parent)| {
        Viommu::alloc(device, parent, &kind)?.close()
    });
    withstands(viommu, |(viommu, _, _)| {
        let ViommuData::Raw(answer) = viommu.data() else {
            panic!("{:?}", viommu.data())
        };
        ViommuMmio::map(viommu, register_area(answer))
    });
    withstands(viommu, |(viommu, device, _)| {
        Hwpt::alloc(device, viommu, &mock::guest(1))
    });
}

#[test]
fn failed_vdevice_can_be_repeated() {
    withstands(viommu, |(viommu, device, _)| {
        Vdevice::alloc(viommu, device, 0x42)
    });
    withstands(viommu, |(viommu, device, _)| {
        Vdevice::alloc(viommu, device, 1)?.close()
    });
    withstands(
        |context| {
            let (viommu, device, _) = viommu(context);
            (Vdevice::alloc(&viommu, &device, 0x42).unwrap(), viommu)
        },
        |(_, viommu)| {
            viommu.invalidate(Invalidations::Raw {
                data_type: mock::INVALIDATION,
                entry_length: 12,
                entries: &words(&[0, 0x42, 1]),
            })
        },
    );
}

#[test]
fn failed_event_queue_loses_no_event() {
    withstands(viommu, |(viommu, _, _)| {
        VeventQueue::alloc(viommu, EVENTS, 8)
    });
    withstands(viommu, |(viommu, _, _)| {
        VeventQueue::alloc(viommu, EVENTS, 8)?.close()
    });
    withstands(eventful, |(queue, ..)| {
        assert!(!queue.read()?.is_empty());
        Ok(())
    });
}

#[test]
fn failed_hardware_queue_can_be_repeated() {
    let kind = HwQueueKind::Raw(mock::HW_QUEUE);
    withstands(
        |context| {
            let (viommu, device, ioas) = viommu(context);
            let mapping = ioas.map_memory(&memory(LENGTH), Iova::Any, ACCESS).unwrap();
            (device, mapping, viommu)
        },
        |(_, mapping, viommu)| {
            HwQueue::alloc(viommu, kind, 0, mapping.iova(), 0x1000, None)?.close()
        },
    );
}
