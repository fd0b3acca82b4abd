//! Regions: their descriptions by the kernel, and access by file and by mapping.

use passthru_lab::devices::{EDU, IGB, NVME};
use passthru_vfio::device::{Error, Region};
use rustix::io::Errno;

use super::{assert_hint, errno};
use crate::edu::{ID, LIVENESS, decode};
use crate::taken::{iommufd, take};

#[test]
fn regions_are_listed_by_index() {
    let taken = take(IGB);
    let device = taken.device();
    let regions = device.regions().unwrap();
    // BAR 1 is the upper half of BAR 0's address, or absent. The VGA region is unknown.
    let found: Vec<_> = regions.keys().copied().collect();

    assert!(
        found.contains(&Region::BAR0) && found.contains(&Region::CONFIG),
        "{found:?}"
    );
    assert!(
        !found.contains(&Region::VGA) && found.len() < device.info().unwrap().regions as usize,
        "{found:?}"
    );
    for (index, region) in &regions {
        assert_eq!(region.index(), *index);
        assert_eq!(region.size(), device.region(*index).unwrap().size());
    }

    let vendor: u16 = regions[&Region::CONFIG].read(0).unwrap();
    assert_eq!(vendor, 0x8086);
}

#[test]
fn unknown_region_is_refused() {
    let taken = take(EDU);
    let device = taken.device();
    let error = device.region(4711).unwrap_err();
    assert!(
        matches!(error, Error::RegionInfo { index: 4711, .. })
            && errno(&error) == Some(Errno::INVAL)
    );

    // An unused BAR has size 0, so any access is outside of it.
    let unused = device.region(Region::BAR0 + 3).unwrap();
    assert_eq!((unused.size(), unused.areas()), (0, [].as_slice()));
    assert!(matches!(unused.read::<u32>(0), Err(Error::Range { .. })));
}

#[test]
fn msix_bar_reports_whether_table_is_mappable() {
    let taken = take(NVME);
    let bar = taken.device().region(Region::BAR0).unwrap();
    assert!(
        bar.msix_mappable() && bar.readable() && bar.writable(),
        "{bar:?}"
    );
    assert_eq!(bar.areas(), [0..bar.size()]);
    assert_eq!(bar.region_type(), None);
}

#[test]
fn region_file_reads_and_writes_registers() {
    let taken = take(EDU);
    let device = taken.device();
    decode(&device, true);
    let bar = device.region(Region::BAR0).unwrap();

    assert_eq!(bar.read::<u32>(0).unwrap(), ID);

    bar.write(LIVENESS, 0x1234_5678u32).unwrap();
    assert_eq!(bar.read::<u32>(LIVENESS).unwrap(), !0x1234_5678);

    let mut bytes = [0; 4];
    bar.read_bytes(0, &mut bytes).unwrap();
    assert_eq!(u32::from_le_bytes(bytes), ID);
}

#[test]
fn outside_or_misaligned_access_is_refused() {
    let taken = take(EDU);
    let config = taken.device().region(Region::CONFIG).unwrap();
    let size = config.size();
    assert!(config.read::<u32>(size - 4).is_ok());
    for offset in [size - 2, size, u64::MAX, 2] {
        assert!(
            matches!(config.read::<u32>(offset), Err(Error::Range { .. })),
            "{offset:#x}"
        );
    }

    let mut bytes = vec![0; size as usize + 1];
    let error = config.read_bytes(0, &mut bytes).unwrap_err();
    assert!(error.to_string().contains(EDU), "{error}");
}

#[test]
fn access_without_memory_decode_fails() {
    let taken = take(EDU);
    let device = taken.device();
    decode(&device, false);
    let bar = device.region(Region::BAR0).unwrap();
    assert_hint(
        &bar.read::<u32>(0).unwrap_err(),
        Errno::IO,
        "command register",
    );
    assert_hint(
        &bar.write(0, 1u32).unwrap_err(),
        Errno::IO,
        "command register",
    );
    decode(&device, true);

    assert_eq!(bar.read::<u32>(0).unwrap(), ID);
}

#[test]
fn mmap_accesses_by_width_and_outlives_handles() {
    let taken = take(NVME);
    let map = {
        let device = taken.device();
        decode(&device, true);
        let bar = device.region(Region::BAR0).unwrap();
        bar.mmap(0..0x1000).unwrap()
    };
    // CAP is a 64-bit register, and VS a 32-bit one, with the values of QEMU's controller.
    let capabilities = map.read::<u64>(0).unwrap();
    let version = map.read::<u32>(8).unwrap();

    assert_eq!(capabilities & 0xffff, 2047, "{capabilities:#x}");
    assert_eq!(map.read::<u32>(4).unwrap(), (capabilities >> 32) as u32);
    assert_eq!(version, 0x1_0400, "{version:#x}");

    // AQA keeps the written value.
    map.write(0x24, 0x001f_001fu32).unwrap();
    assert_eq!(map.read::<u32>(0x24).unwrap(), 0x001f_001f);
    assert_eq!(map.region().read::<u32>(0x24).unwrap(), 0x001f_001f);
    assert!(matches!(map.read::<u32>(0x1000), Err(Error::Range { .. })));
    assert!(matches!(map.read::<u64>(4), Err(Error::Range { .. })));

    // The device is in use until the mapping is dropped.
    let context = iommufd();
    let failed = taken
        .source()
        .open()
        .unwrap()
        .bind(&context, None)
        .unwrap_err();
    drop(map);
    failed.state.bind(&context, None).unwrap();
}

#[test]
fn narrow_registers_are_accessed_by_width() {
    let taken = take(NVME);
    let device = taken.device();
    let config = device.region(Region::CONFIG).unwrap();
    let low = config.read::<u8>(0).unwrap();
    let high = config.read::<u8>(1).unwrap();

    assert_eq!(
        u16::from_le_bytes([low, high]),
        config.read::<u16>(0).unwrap()
    );

    decode(&device, true);
    let map = device
        .region(Region::BAR0)
        .unwrap()
        .mmap(0..0x1000)
        .unwrap();
    assert_eq!(
        u32::from(map.read::<u8>(0xa).unwrap()),
        map.read::<u32>(8).unwrap() >> 16 & 0xff
    );
    assert_eq!(
        u32::from(map.read::<u16>(0xa).unwrap()),
        map.read::<u32>(8).unwrap() >> 16
    );
}

#[test]
fn invalid_mmap_is_refused() {
    let taken = take(EDU);
    let device = taken.device();
    let bar = device.region(Region::BAR0).unwrap();
    let config = device.region(Region::CONFIG).unwrap();
    let size = bar.size();
    for range in [0..0, 0..size + 0x1000, 0x800..0x1000, size..size + 0x1000] {
        assert_hint(&bar.mmap(range).unwrap_err(), Errno::INVAL, "whole pages");
    }

    assert!(config.areas().is_empty() && config.mmap(0..0x1000).is_err());
}
