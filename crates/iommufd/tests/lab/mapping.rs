//! Mappings: by address, by file, copied, unmapped.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use passthru_iommufd::{Access, DmaMemory, Error, Ioas, Iommufd, Iova};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;

use crate::mock::{self, Device};
use crate::{LENGTH, assert_hint, errno, ioas, memfd, memory};

fn map(ioas: &Ioas, memory: &DmaMemory, iova: Iova) -> Result<u64, Error> {
    // SAFETY: the tests drop the address space, or unmap, before the memory.
    unsafe {
        ioas.map(
            memory.as_ptr(),
            memory.len() as u64,
            iova,
            Access::ReadWrite,
        )
    }
}

fn copy(from: &Ioas, from_iova: u64, length: u64, to: &Ioas, iova: Iova) -> Result<u64, Error> {
    // SAFETY: the tests drop the address spaces, or unmap, before the memory.
    unsafe { to.copy_from(from, from_iova, length, iova, Access::ReadWrite) }
}

#[test]
fn memory_is_mapped_at_the_requested_iova() {
    let memory = memory(LENGTH);
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let iova = 0x200_0000;

    assert_eq!(map(&ioas, &memory, Iova::At(iova)).unwrap(), iova);
    assert!(device.reaches(iova, &memory));
    assert_eq!(ioas.unmap(iova, LENGTH).unwrap(), LENGTH);
    assert!(!device.reaches(iova, &memory));
}

#[test]
fn kernel_chooses_an_iova_in_the_usable_ranges() {
    let one = memory(LENGTH);
    let other = memory(LENGTH);
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let iovas = [
        map(&ioas, &one, Iova::Any).unwrap(),
        map(&ioas, &other, Iova::Any).unwrap(),
    ];

    assert!(
        iovas.iter().all(|iova| mock::APERTURE.contains(iova)),
        "{iovas:x?}"
    );
    assert!(iovas[0].abs_diff(iovas[1]) >= LENGTH, "{iovas:x?}");
    assert!(device.reaches(iovas[0], &one) && device.reaches(iovas[1], &other));
}

#[test]
fn overlapping_mapping_is_refused_and_changes_nothing() {
    let memory = memory(LENGTH);
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let iova = map(&ioas, &memory, Iova::At(0x200_0000)).unwrap();
    let error = map(&ioas, &memory, Iova::At(iova + 0x1000)).unwrap_err();
    assert_hint(&error, Errno::EXIST, "unmap what is mapped there");

    assert!(device.reaches(iova, &memory));
    assert_eq!(ioas.unmap_all().unwrap(), LENGTH);
}

#[test]
fn iova_that_the_device_cannot_use_is_refused() {
    let memory = memory(LENGTH);
    let ioas = ioas();
    let _device = Device::attach(&ioas).unwrap();
    for iova in [0, mock::APERTURE.end() + 1, 0x200_0001] {
        assert_hint(
            &map(&ioas, &memory, Iova::At(iova)).unwrap_err(),
            Errno::INVAL,
            "usable IOVA ranges",
        );
    }
}

#[test]
fn absent_memory_is_refused() {
    let ioas = ioas();
    let _device = Device::attach(&ioas).unwrap();
    let address = std::ptr::without_provenance_mut(0x1000);
    // SAFETY: nothing is mapped at this address.
    let error = unsafe { ioas.map(address, LENGTH, Iova::Any, Access::Read) }.unwrap_err();
    assert_hint(&error, Errno::FAULT, "present and writable");
}

#[test]
fn part_of_a_mapping_is_not_unmapped() {
    let memory = memory(LENGTH);
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let iova = map(&ioas, &memory, Iova::Any).unwrap();
    for cut in [iova, iova + 0x1000] {
        assert_hint(
            &ioas.unmap(cut, 0x1000).unwrap_err(),
            Errno::NOENT,
            "whole mappings only",
        );
    }

    assert!(device.reaches(iova, &memory));
}

#[test]
fn unmap_removes_all_in_the_range_and_returns_their_size() {
    let memory = memory(LENGTH);
    let ioas = ioas();
    for iova in [0x10_0000, 0x20_0000, 0x30_0000] {
        map(&ioas, &memory, Iova::At(iova)).unwrap();
    }
    assert_eq!(ioas.unmap(0x8_0000, 0x20_0000).unwrap(), 2 * LENGTH);
    assert_eq!(ioas.unmap_all().unwrap(), LENGTH);
    assert_eq!(ioas.unmap_all().unwrap(), 0);

    assert_hint(
        &ioas.unmap(0x10_0000, LENGTH).unwrap_err(),
        Errno::NOENT,
        "only where something is mapped",
    );
}

#[test]
fn failed_unmap_removes_mappings_before_the_cut_one() {
    let memory = memory(LENGTH);
    let ioas = ioas();
    for iova in [0x10_0000, 0x20_0000] {
        map(&ioas, &memory, Iova::At(iova)).unwrap();
    }
    ioas.unmap(0x10_0000, 0x10_1000).unwrap_err();

    assert_eq!(ioas.unmap_all().unwrap(), LENGTH);
}

#[test]
fn mapping_keeps_its_memory_and_unmaps_it_on_drop() {
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let memory = memory(LENGTH);
    let mapping = ioas
        .map_memory(&memory, Iova::Any, Access::ReadWrite)
        .unwrap();

    assert_eq!(Arc::strong_count(&memory), 2);

    memory.write(0x1ffe, b"ab");
    assert!(device.reaches(mapping.iova(), &memory));

    drop(mapping);
    assert_eq!(Arc::strong_count(&memory), 1);
    assert_eq!(ioas.unmap_all().unwrap(), 0);
}

#[test]
fn mapping_already_removed_fails_and_frees_its_memory() {
    let ioas = ioas();
    let memory = memory(LENGTH);
    let mapping = ioas.map_memory(&memory, Iova::Any, Access::Read).unwrap();
    ioas.unmap_all().unwrap();

    assert_eq!(errno(&mapping.unmap().unwrap_err()), Some(Errno::NOENT));
    assert_eq!(Arc::strong_count(&memory), 1);
}

#[test]
fn memfd_is_mapped_by_its_descriptor() {
    let ioas = ioas();
    let _device = Device::attach(&ioas).unwrap();
    let file = memfd(3 * 0x1000);
    let iova = ioas
        .map_file(
            &file,
            0x1000,
            LENGTH,
            Iova::At(0x200_0000),
            Access::ReadWrite,
        )
        .unwrap();
    drop(file);

    assert_eq!(iova, 0x200_0000);
    assert_eq!(ioas.unmap(iova, LENGTH).unwrap(), LENGTH);
}

#[test]
fn file_that_cannot_be_mapped_is_refused_with_its_range() {
    let ioas = ioas();
    let _device = Device::attach(&ioas).unwrap();
    let file = memfd(0x1000);
    let error = ioas
        .map_file(&file, 0x1000, LENGTH, Iova::Any, Access::ReadWrite)
        .unwrap_err();

    assert!(
        matches!(
            error,
            Error::MapFile {
                offset: 0x1000,
                length: LENGTH,
                ..
            }
        ),
        "{error:?}"
    );

    assert_hint(&error, Errno::INVAL, "holds the whole range");
    let other = std::fs::File::open("/proc/self/exe").unwrap();
    let error = ioas
        .map_file(&other, 0, LENGTH, Iova::Any, Access::Read)
        .unwrap_err();
    assert_hint(&error, Errno::INVAL, "a memfd or a device's dma-buf");
    assert_eq!(ioas.unmap_all().unwrap(), 0);
}

/// `IOMMU_IOAS_NOIOMMU_GET_PA` refuses mappings of devices behind an IOMMU.
///
/// Without `CONFIG_IOMMUFD_NOIOMMU`, the kernel refuses every call with `EOPNOTSUPP`.
#[test]
fn physical_address_behind_an_iommu_is_refused() {
    let memory = memory(LENGTH);
    let ioas = ioas();
    let device = Device::attach(&ioas).unwrap();
    let iova = map(&ioas, &memory, Iova::Any).unwrap();
    let error = ioas.noiommu_get_pa(iova, LENGTH).unwrap_err();

    assert!(
        matches!(error, Error::NoiommuGetPa { length: LENGTH, .. }),
        "{error:?}"
    );
    if passthru_lab::host().kernel_is_since((7, 3)) {
        assert_hint(&error, Errno::OPNOTSUPP, "without an IOMMU");
    } else {
        assert_hint(&error, Errno::NOTTY, "too old");
    }

    assert!(device.reaches(iova, &memory));
}

/// The docs of [`Ioas::map_file`] warn of this.
#[test]
fn sealed_or_read_only_file_is_mapped_for_writing() {
    let ioas = ioas();
    let _device = Device::attach(&ioas).unwrap();
    let file = memfd_create("sealed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&file, LENGTH).unwrap();
    fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK,
    )
    .unwrap();
    let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    ioas.map_file(&file, 0, LENGTH, Iova::Any, Access::ReadWrite)
        .unwrap();
}

#[test]
fn read_only_mapping_is_not_copied_for_writing() {
    let memory = memory(LENGTH);
    let from = ioas();
    let to = Ioas::alloc(from.context()).unwrap();
    let mapping = from.map_memory(&memory, Iova::Any, Access::Read).unwrap();
    let error = copy(&from, mapping.iova(), LENGTH, &to, Iova::Any).unwrap_err();
    assert_hint(&error, Errno::PERM, "for reading only");
}

#[test]
fn copy_reaches_the_memory_and_outlives_its_source() {
    let memory = memory(LENGTH);
    let from = ioas();
    let to = Ioas::alloc(from.context()).unwrap();
    let device = Device::attach(&to).unwrap();
    let iova = map(&from, &memory, Iova::Any).unwrap();

    assert_eq!(
        copy(&from, iova, LENGTH, &to, Iova::At(0x300_0000)).unwrap(),
        0x300_0000
    );

    from.unmap_all().unwrap();
    assert!(device.reaches(0x300_0000, &memory));
    assert_eq!(to.unmap_all().unwrap(), LENGTH);
}

#[test]
fn unmapped_range_is_not_copied() {
    let memory = memory(LENGTH);
    let from = ioas();
    let to = Ioas::alloc(from.context()).unwrap();
    let iova = map(&from, &memory, Iova::At(0x10_0000)).unwrap();
    let error = copy(&from, iova, 2 * LENGTH, &to, Iova::Any).unwrap_err();
    assert_hint(&error, Errno::NOENT, "as a whole");

    assert_eq!(to.unmap_all().unwrap(), 0);
}

#[test]
fn copy_between_contexts_is_refused() {
    let from = ioas();
    let other = Arc::new(Iommufd::open().unwrap());
    let to = Ioas::alloc(&other).unwrap();
    let error = copy(&from, 0, LENGTH, &to, Iova::Any).unwrap_err();
    assert!(matches!(error, Error::OtherContext { .. }), "{error:?}");
}

#[test]
fn dma_buf_is_mapped_by_its_descriptor() {
    let ioas = ioas();
    let _device = Device::attach(&ioas).unwrap();
    let buffer = mock::dma_buf(ioas.context(), LENGTH as u32);
    let iova = ioas
        .map_file(&buffer, 0, LENGTH, Iova::Any, Access::ReadWrite)
        .unwrap();
    let error = ioas
        .map_file(&buffer, LENGTH, LENGTH, Iova::Any, Access::ReadWrite)
        .unwrap_err();
    assert_hint(&error, Errno::INVAL, "holds the whole range");
    drop(buffer);

    assert_eq!(ioas.unmap(iova, LENGTH).unwrap(), LENGTH);
}

#[test]
fn revoked_dma_buf_is_refused_until_it_is_restored() {
    let ioas = ioas();
    let _device = Device::attach(&ioas).unwrap();
    let buffer = mock::dma_buf(ioas.context(), LENGTH as u32);
    let iova = ioas
        .map_file(&buffer, 0, LENGTH, Iova::Any, Access::ReadWrite)
        .unwrap();
    mock::revoke(ioas.context(), &buffer, true);
    let error = ioas
        .map_file(&buffer, 0, LENGTH, Iova::Any, Access::ReadWrite)
        .unwrap_err();
    assert_hint(&error, Errno::NODEV, "once the device decodes its memory");
    mock::revoke(ioas.context(), &buffer, false);
    let error = ioas
        .map_file(&buffer, 0, LENGTH, Iova::At(iova), Access::ReadWrite)
        .unwrap_err();
    assert_hint(&error, Errno::EXIST, "unmap what is mapped there");

    assert_eq!(ioas.unmap(iova, LENGTH).unwrap(), LENGTH);

    ioas.map_file(&buffer, 0, LENGTH, Iova::At(iova), Access::ReadWrite)
        .unwrap();
}
