//! Mappings: devices reach mapped memory, and no other.

use std::io::ErrorKind;
use std::sync::Arc;

use passthru_iommufd::Ioas;
use passthru_vfio::container::{Access, Backend, DirtyRange, Error};
use rustix::io::Errno;

use super::{PAGE, assert_unsupported, container, errno, map, memory, on_both_backends, with_edu};

const FROM: u64 = 0x10_0000;
const TO: u64 = 0x20_0000;

on_both_backends! {
    device_reaches_mapping_until_unmapped
    device_cannot_write_to_read_only_mapping
    device_reaches_iovas_above_4_gib
    overlapping_map_is_refused_and_changes_nothing
    partial_unmap_is_refused
    unmap_spans_gaps_between_mappings
    unmap_of_nothing_returns_not_found
    unmap_all_unmaps_everything
    reserved_iovas_are_left_out_and_refused
    unaligned_map_is_refused
    map_of_unmapped_memory_is_refused
    capabilities_match_supported_calls
    map_without_device_follows_capability
    nodes_are_opened_close_on_exec
}

fn device_reaches_mapping_until_unmapped(backend: Backend) {
    let setup = with_edu(backend);
    let dma = &setup.container;
    let from = memory(1);
    let to = memory(1);
    map(&**dma, from, FROM, Access::Read).unwrap();
    map(&**dma, to, TO, Access::ReadWrite).unwrap();
    assert!(setup.reaches((from, FROM), (to, TO)));
    assert_eq!(dma.unmap(TO, PAGE).unwrap(), PAGE);
    assert!(!setup.reaches((from, FROM), (to, TO)));
    map(&**dma, to, TO + PAGE, Access::ReadWrite).unwrap();
    assert!(setup.reaches((from, FROM), (to, TO + PAGE)));
}

fn device_cannot_write_to_read_only_mapping(backend: Backend) {
    let setup = with_edu(backend);
    let dma = &setup.container;
    let from = memory(1);
    let to = memory(1);
    map(&**dma, from, FROM, Access::Read).unwrap();
    map(&**dma, to, TO, Access::Read).unwrap();
    assert!(!setup.reaches((from, FROM), (to, TO)));
}

/// 64-bit BARs have such addresses.
fn device_reaches_iovas_above_4_gib(backend: Backend) {
    const ABOVE: u64 = 1 << 37;
    let setup = with_edu(backend);
    let from = memory(1);
    let to = memory(1);
    map(&*setup.container, from, ABOVE, Access::Read).unwrap();
    map(&*setup.container, to, ABOVE + PAGE, Access::ReadWrite).unwrap();
    assert!(setup.reaches((from, ABOVE), (to, ABOVE + PAGE)));
}

fn overlapping_map_is_refused_and_changes_nothing(backend: Backend) {
    let setup = with_edu(backend);
    let dma = &setup.container;
    let from = memory(2);
    let to = memory(2);
    map(&**dma, from, FROM, Access::ReadWrite).unwrap();
    map(&**dma, to, TO, Access::ReadWrite).unwrap();
    let error = map(&**dma, memory(2), TO + PAGE, Access::ReadWrite).unwrap_err();
    assert_eq!(errno(&error), Some(Errno::EXIST), "{error}");
    assert!(error.hint().unwrap().contains("mapped there already"));
    assert!(setup.reaches((from, FROM), (to, TO)));
    assert_eq!(dma.unmap_all().unwrap(), 4 * PAGE);
}

fn partial_unmap_is_refused(backend: Backend) {
    let setup = with_edu(backend);
    map(&*setup.container, memory(4), FROM, Access::ReadWrite).unwrap();
    for (iova, length) in [
        (FROM, PAGE),
        (FROM + PAGE, PAGE),
        (FROM + 2 * PAGE, 8 * PAGE),
    ] {
        let error = setup.container.unmap(iova, length).unwrap_err();
        let refusal = if backend == Backend::Type1 {
            Errno::INVAL
        } else {
            Errno::NOENT
        };
        assert_eq!(errno(&error), Some(refusal), "{error}");
        assert!(
            error.hint().unwrap().contains("whole mappings only"),
            "{error}: {:?}",
            error.hint()
        );
    }

    assert_eq!(setup.container.unmap(FROM, 4 * PAGE).unwrap(), 4 * PAGE);
}

fn unmap_spans_gaps_between_mappings(backend: Backend) {
    let setup = with_edu(backend);
    for iova in [FROM, FROM + PAGE, FROM + 8 * PAGE] {
        map(&*setup.container, memory(1), iova, Access::ReadWrite).unwrap();
    }
    assert_eq!(
        setup.container.unmap(FROM - PAGE, 16 * PAGE).unwrap(),
        3 * PAGE
    );
}

fn unmap_of_nothing_returns_not_found(backend: Backend) {
    let setup = with_edu(backend);
    let error = setup.container.unmap(FROM, PAGE).unwrap_err();
    assert_eq!(error.io().unwrap().kind(), ErrorKind::NotFound, "{error}");
    assert!(error.hint().is_some());
}

fn unmap_all_unmaps_everything(backend: Backend) {
    let setup = with_edu(backend);
    assert_eq!(setup.container.unmap_all().unwrap(), 0);
    for iova in [0, 0x8000_0000] {
        map(&*setup.container, memory(2), iova, Access::ReadWrite).unwrap();
    }
    assert_eq!(setup.container.unmap_all().unwrap(), 4 * PAGE);
    assert_eq!(setup.container.unmap_all().unwrap(), 0);
}

fn reserved_iovas_are_left_out_and_refused(backend: Backend) {
    /// Address of interrupts on x86.
    const INTERRUPTS: u64 = 0xfee0_0000;
    let setup = with_edu(backend);
    let usable = setup.container.iova_ranges().unwrap();
    assert_eq!(usable.alignment, PAGE);
    assert!(usable.ranges.len() > 1, "{usable:x?}");
    assert!(
        !usable
            .ranges
            .iter()
            .any(|range| range.contains(&INTERRUPTS)),
        "{usable:x?}"
    );
    assert!(
        usable
            .ranges
            .windows(2)
            .all(|pair| pair[0].end() < pair[1].start()),
        "{usable:x?}"
    );
    let error = map(&*setup.container, memory(1), INTERRUPTS, Access::Read).unwrap_err();
    assert_eq!(errno(&error), Some(Errno::INVAL), "{error}");
    assert!(error.hint().unwrap().contains("usable IOVA ranges"));
    let past = usable.ranges.last().unwrap().end() & !(PAGE - 1);
    map(&*setup.container, memory(1), past, Access::Read).unwrap();
    let error = map(&*setup.container, memory(2), past, Access::Read).unwrap_err();
    assert!(error.io().is_some(), "{error}");
}

fn unaligned_map_is_refused(backend: Backend) {
    let setup = with_edu(backend);
    let sizes = setup.container.page_sizes().unwrap();
    assert_eq!(1 << sizes.trailing_zeros(), PAGE);
    let error = map(&*setup.container, memory(1), FROM + 0x800, Access::Read).unwrap_err();
    assert_eq!(errno(&error), Some(Errno::INVAL), "{error}");
    assert_eq!(setup.container.unmap_all().unwrap(), 0);
}

fn map_of_unmapped_memory_is_refused(backend: Backend) {
    let setup = with_edu(backend);
    // SAFETY: no memory is mapped at address 0, so a device can change none.
    let error = unsafe {
        setup
            .container
            .map(std::ptr::null_mut(), PAGE, FROM, Access::ReadWrite)
    };
    let error = error.unwrap_err();
    assert_eq!(errno(&error), Some(Errno::FAULT), "{error}");
    assert_eq!(setup.container.unmap_all().unwrap(), 0);
}

/// Calls without the capability return `Unsupported`. Calls with the capability work, here or in
/// another test.
fn capabilities_match_supported_calls(backend: Backend) {
    let mut setup = with_edu(backend);
    let can = setup.container.capabilities();
    assert_eq!(can.backend, backend);
    let file = rustix::fs::memfd_create("memory", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, PAGE).unwrap();
    let mapped =
        setup
            .container
            .map_file(std::os::fd::AsFd::as_fd(&file), 0, PAGE, FROM, Access::Read);
    if can.map_file {
        mapped.unwrap();
    } else {
        assert_unsupported(mapped);
    }

    assert_eq!(setup.container.ioas().is_some(), can.copy);
    let replaced = setup.member.replace(None);
    if can.nesting {
        replaced.unwrap();
    } else {
        assert_unsupported(replaced);
    }

    assert_eq!(setup.member.bound().is_some(), can.pasid);
    // No device of the virtual host has PASIDs, so the kernel refuses the call.
    let ioas = setup.container.ioas().cloned();
    let ioas = ioas.unwrap_or_else(|| Arc::new(Ioas::alloc(&crate::taken::iommufd()).unwrap()));
    let refused = setup.member.attach_pasid(1, ioas);
    if can.pasid {
        assert_eq!(errno(&refused.unwrap_err()), Some(Errno::INVAL));
    } else {
        assert_unsupported(refused);
    }

    let kept = setup
        .container
        .dirty_pages(DirtyRange::new(FROM, PAGE, PAGE), false, &mut [0]);
    if can.dirty_without_clear {
        assert!(matches!(kept, Err(Error::NotTracking)));
    } else {
        assert_unsupported(kept);
    }
}

fn map_without_device_follows_capability(backend: Backend) {
    let container = container(backend);
    let mapped = map(&*container, memory(1), FROM, Access::ReadWrite);
    if container.capabilities().without_devices {
        mapped.unwrap();
        assert_eq!(container.iova_ranges().unwrap().ranges, [0..=u64::MAX]);
        assert_eq!(container.unmap_all().unwrap(), PAGE);
    } else {
        let error = mapped.unwrap_err();
        assert!(
            matches!(error, Error::NoDevice) && error.hint().is_some(),
            "{error}"
        );
        assert!(matches!(container.iova_ranges(), Err(Error::NoDevice)));
        assert!(matches!(container.page_sizes(), Err(Error::NoDevice)));
        assert!(matches!(
            container.set_dirty_tracking(true),
            Err(Error::NoDevice)
        ));
        assert_eq!(
            container
                .unmap(FROM, PAGE)
                .unwrap_err()
                .io()
                .unwrap()
                .kind(),
            ErrorKind::NotFound
        );
        assert_eq!(container.unmap_all().unwrap(), 0);
    }
}

fn nodes_are_opened_close_on_exec(backend: Backend) {
    let setup = with_edu(backend);
    let nodes = ["/dev/vfio/", "/dev/iommu", "anon_inode:[vfio-device]"];
    let mut found = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else {
            continue;
        };
        if nodes
            .iter()
            .any(|node| target.to_string_lossy().starts_with(node))
        {
            let number = entry.file_name().into_string().unwrap();
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
            let flags = info
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .unwrap();
            assert_ne!(
                u32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000,
                0,
                "{target:?}"
            );
            found += 1;
        }
    }

    assert!(found >= 2, "{found}");
    drop(setup);
}
