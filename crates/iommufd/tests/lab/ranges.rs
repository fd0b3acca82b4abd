//! Usable IOVAs, and huge pages.

use passthru_iommufd::{Access, Iova};
use rustix::io::Errno;

use crate::mock::{self, Device};
use crate::{LENGTH, assert_hint, ioas, memory};

#[test]
fn all_iovas_are_usable_until_a_device_is_attached() {
    let ioas = ioas();
    assert_eq!(ioas.iova_ranges().unwrap().ranges, [0..=u64::MAX]);

    let device = Device::attach(&ioas).unwrap();
    let usable = ioas.iova_ranges().unwrap();
    assert_eq!(usable.ranges, [mock::APERTURE]);
    assert!(
        usable.alignment.is_power_of_two() && usable.alignment <= 0x1000,
        "{usable:?}"
    );

    drop(device);
    assert_eq!(ioas.iova_ranges().unwrap().ranges, [0..=u64::MAX]);
}

#[test]
fn ranges_that_exceed_the_first_buffer_are_all_returned() {
    let ioas = ioas();
    for hole in 1..=20 {
        mock::reserve(&ioas, hole << 20, 0x1000);
    }
    let ranges = ioas.iova_ranges().unwrap().ranges;
    assert_eq!(ranges.len(), 21);
    assert_eq!(ranges[0], 0..=0xf_ffff);
    assert_eq!(ranges[20], 0x140_1000..=u64::MAX);
}

#[test]
fn chosen_iovas_are_in_the_allowed_ranges() {
    let ioas = ioas();
    let allowed = 0x5000_0000..=0x5000_ffff;
    ioas.allow_iovas(std::slice::from_ref(&allowed)).unwrap();
    let mapping = ioas
        .map_memory(&memory(LENGTH), Iova::Any, Access::Read)
        .unwrap();

    assert!(allowed.contains(&mapping.iova()), "{:x}", mapping.iova());

    let error = ioas
        .map_memory(&memory(0x10_0000), Iova::Any, Access::Read)
        .unwrap_err();
    assert_hint(&error, Errno::NOSPC, "large enough");
    ioas.allow_iovas(&[]).unwrap();
    ioas.map_memory(&memory(0x10_0000), Iova::Any, Access::Read)
        .unwrap();
}

#[test]
fn device_that_cannot_use_the_allowed_ranges_is_refused() {
    let ioas = ioas();
    ioas.allow_iovas(&[0..=0xffff]).unwrap();
    assert_eq!(Device::attach(&ioas).err(), Some(Errno::ADDRINUSE));
}

#[test]
fn range_that_a_device_cannot_use_is_not_allowed() {
    let ioas = ioas();
    let _device = Device::attach(&ioas).unwrap();
    let error = ioas.allow_iovas(&[0..=0xffff]).unwrap_err();
    assert_hint(&error, Errno::ADDRINUSE, "cannot use");

    assert!(error.to_string().contains("0x0-0xffff"), "{error}");

    #[allow(clippy::reversed_empty_ranges, reason = "the range under test")]
    ioas.allow_iovas(&[0x200_0000..=0x100_0000]).unwrap_err();
}

#[test]
fn huge_pages_are_forbidden_only_before_a_mapping() {
    let ioas = ioas();
    assert!(ioas.huge_pages().unwrap());

    ioas.set_huge_pages(false).unwrap();
    assert!(!ioas.huge_pages().unwrap());

    ioas.set_huge_pages(true).unwrap();
    let _device = Device::attach(&ioas).unwrap();
    let _mapping = ioas
        .map_memory(&memory(LENGTH), Iova::Any, Access::Read)
        .unwrap();
    assert_hint(
        &ioas.set_huge_pages(false).unwrap_err(),
        Errno::INVAL,
        "before memory is mapped",
    );
    assert!(ioas.huge_pages().unwrap());
}
