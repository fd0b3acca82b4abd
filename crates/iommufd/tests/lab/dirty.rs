//! Dirty tracking.

use std::sync::Arc;

use passthru_iommufd::{Access, DirtyRange, Hwpt, HwptOptions, Ioas, Iova, Mapping};
use rustix::io::Errno;

use crate::mock::{self, Device};
use crate::{assert_hint, ioas, memory};

const PAGE: u64 = 0x1000;
const PAGES: u64 = 16 * 64;

/// A device on a page table that tracks its writes to memory.
struct Tracked {
    mapping: Mapping,
    device: Device,
    hwpt: Hwpt,
}

/// Attaches a device to a page table with dirty tracking. Without huge pages, each page is tracked
/// by itself.
fn attach_tracked(ioas: &Arc<Ioas>) -> Tracked {
    ioas.set_huge_pages(false).unwrap();
    let device = Device::attach(ioas).unwrap();
    let options = HwptOptions {
        dirty_tracking: true,
        ..HwptOptions::default()
    };
    let hwpt = Hwpt::alloc(&device, ioas, &options).unwrap();
    device.replace(hwpt.id()).unwrap();
    let mapping = ioas
        .map_memory(&memory(PAGES * PAGE), Iova::At(1 << 30), Access::ReadWrite)
        .unwrap();
    Tracked {
        mapping,
        device,
        hwpt,
    }
}

impl Tracked {
    /// Returns the numbers of the dirty pages.
    fn dirty(&self, clear: bool) -> Vec<u64> {
        let mut bitmap = [0; 16];
        self.hwpt
            .dirty_bitmap(
                DirtyRange::new(self.mapping.iova(), PAGES * PAGE, PAGE),
                clear,
                &mut bitmap,
            )
            .unwrap();
        (0..PAGES)
            .filter(|page| bitmap[*page as usize / 64] & 1 << (page % 64) != 0)
            .collect()
    }
}

#[test]
fn written_pages_are_dirty_until_cleared() {
    let tracked = attach_tracked(&ioas());
    tracked.hwpt.set_dirty_tracking(true).unwrap();
    assert_eq!(tracked.dirty(true), [0; 0]);

    tracked
        .device
        .write_to(tracked.mapping.iova(), &[0, 7, 64, 1023]);
    assert_eq!(tracked.dirty(false), [0, 7, 64, 1023]);
    assert_eq!(tracked.dirty(true), [0, 7, 64, 1023]);
    assert_eq!(tracked.dirty(true), [0; 0]);
}

#[test]
fn tracking_starts_with_clean_pages() {
    let tracked = attach_tracked(&ioas());
    tracked.hwpt.set_dirty_tracking(true).unwrap();
    tracked.device.write_to(tracked.mapping.iova(), &[3]);
    tracked.hwpt.set_dirty_tracking(false).unwrap();
    tracked.hwpt.set_dirty_tracking(true).unwrap();

    assert_eq!(tracked.dirty(true), [0; 0]);
}

#[test]
fn first_bit_is_the_first_page_of_the_range() {
    let tracked = attach_tracked(&ioas());
    tracked.hwpt.set_dirty_tracking(true).unwrap();
    tracked
        .device
        .write_to(tracked.mapping.iova(), &[9, 10, 75]);
    let mut bitmap = [1 << 60, 0];
    tracked
        .hwpt
        .dirty_bitmap(
            DirtyRange::new(tracked.mapping.iova() + 10 * PAGE, 66 * PAGE, PAGE),
            true,
            &mut bitmap,
        )
        .unwrap();

    assert_eq!(bitmap, [1 << 60 | 1, 2]);
    assert_eq!(tracked.dirty(true), [9]);
}

#[test]
fn no_bit_is_set_past_the_end_of_a_cut_huge_page() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let options = HwptOptions {
        dirty_tracking: true,
        ..HwptOptions::default()
    };
    let hwpt = Hwpt::alloc(&device, &ioas, &options).unwrap();
    device.replace(hwpt.id()).unwrap();
    // The memory of the kernel's dma-buf is contiguous.
    let buffer = mock::dma_buf(ioas.context(), 2 << 20);
    let iova = ioas
        .map_file(&buffer, 0, 2 << 20, Iova::At(1 << 30), Access::ReadWrite)
        .unwrap();
    hwpt.set_dirty_tracking(true).unwrap();
    device.write_to(iova, &[0]);
    let mut bitmap = [0; 16];
    hwpt.dirty_bitmap(DirtyRange::new(iova, 2 << 20, PAGE), false, &mut bitmap)
        .unwrap();
    let written = bitmap.iter().map(|word| word.count_ones()).sum::<u32>();

    assert!(written > 4, "the page is not huge: {bitmap:x?}");

    let mut bitmap = [0; 16];
    hwpt.dirty_bitmap(
        DirtyRange::new(iova, 2 * PAGE, PAGE),
        false,
        &mut bitmap[..1],
    )
    .unwrap();
    assert_eq!(bitmap, [[3].as_slice(), &[0; 15]].concat()[..]);
}

#[test]
fn dirty_pages_behind_a_gap_are_not_reported() {
    let ioas = ioas();
    let tracked = attach_tracked(&ioas);
    tracked.hwpt.set_dirty_tracking(true).unwrap();
    tracked.device.write_to(tracked.mapping.iova(), &[0]);
    let before = tracked.mapping.iova() - 2 * PAGE;
    let _other = ioas
        .map_memory(&memory(PAGE), Iova::At(before), Access::ReadWrite)
        .unwrap();
    let mut bitmap = [0];
    tracked
        .hwpt
        .dirty_bitmap(DirtyRange::new(before, 4 * PAGE, PAGE), true, &mut bitmap)
        .unwrap();

    assert_eq!(bitmap, [0]);
    assert_eq!(tracked.dirty(true), [0]);
}

#[test]
fn page_table_without_dirty_tracking_refuses_it() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let hwpt = Hwpt::alloc(&device, &ioas, &HwptOptions::default()).unwrap();
    assert_hint(
        &hwpt.set_dirty_tracking(true).unwrap_err(),
        Errno::OPNOTSUPP,
        "with dirty tracking",
    );
    let error = hwpt
        .dirty_bitmap(DirtyRange::new(1 << 24, PAGE, PAGE), true, &mut [0])
        .unwrap_err();
    assert_hint(&error, Errno::OPNOTSUPP, "with dirty tracking");
}

#[test]
fn bitmap_that_is_too_small_is_refused() {
    let tracked = attach_tracked(&ioas());
    let error = tracked
        .hwpt
        .dirty_bitmap(
            DirtyRange::new(tracked.mapping.iova(), 65 * PAGE, PAGE),
            true,
            &mut [0],
        )
        .unwrap_err();
    assert_hint(&error, Errno::INVAL, "a bit for each");
    assert!(error.to_string().contains("to 1 words"), "{error}");
}
