//! Objects of all kinds, dropped in any order.

use std::any::Any;
use std::sync::Arc;

use passthru_iommufd::{
    Access, Accounting, FaultQueue, HwQueue, Hwpt, HwptOptions, Ioas, Iommufd, Iova, Vdevice,
    VeventQueue,
};
use passthru_lab::HeldResources;

use crate::mock::{self, Device};
use crate::viommu::{EVENTS, QUEUE, viommu};
use crate::{LENGTH, memfd};

/// Allocates one object of each kind, and those that it needs.
fn one_of_each(context: &Arc<Iommufd>) -> Vec<Box<dyn Any>> {
    let ioas = Arc::new(Ioas::alloc(context).unwrap());
    let device = Device::attach(&ioas).unwrap();
    let iova = ioas.map_file(memfd(LENGTH), 0, LENGTH, Iova::Any, Access::ReadWrite);
    let viommu = viommu(&device, &ioas);
    let iova = iova.unwrap();
    let first = Arc::new(HwQueue::alloc(&viommu, QUEUE, 0, iova, 0x1000, None).unwrap());
    let second = HwQueue::alloc(&viommu, QUEUE, 1, iova, 0x1000, Some(&first)).unwrap();
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
        // A device needs the I/O address space that it is attached to.
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
    let before = HeldResources::read().unwrap();
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
        // Fails unless the context is empty.
        context.set_accounting(Accounting::Process).unwrap();
    }

    assert_eq!(HeldResources::read().unwrap(), before);
}
