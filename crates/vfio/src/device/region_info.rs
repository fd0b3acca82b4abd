//! [`RegionInfo`]: the kernel's description of a region, with its capabilities.

use std::ops::Range;
use std::os::fd::AsFd;

use vfio_bindings::bindings::vfio::*;

use crate::capability::{BadCapability, Capability, chain};
use crate::device::{Device, Error};
use crate::sys;

const SPARSE_MMAP: u16 = VFIO_REGION_INFO_CAP_SPARSE_MMAP as u16;
const TYPE: u16 = VFIO_REGION_INFO_CAP_TYPE as u16;
const MSIX_MAPPABLE: u16 = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE as u16;

/// The kernel's description of a region (`VFIO_DEVICE_GET_REGION_INFO`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegionInfo {
    pub(super) flags: u32,
    pub(super) size: u64,
    /// Place of the region in the device's file.
    pub(super) offset: u64,
    pub(super) areas: Vec<Range<u64>>,
    pub(super) region_type: Option<RegionType>,
    pub(super) msix_mappable: bool,
}

/// Type of a region that a driver adds (`VFIO_REGION_INFO_CAP_TYPE`), by the numbers of
/// `linux/vfio.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionType {
    /// Number of `VFIO_REGION_TYPE_…`.
    pub kind: u32,
    /// Number of `VFIO_REGION_SUBTYPE_…` within the type.
    pub subtype: u32,
}

pub(super) fn ask(device: &Device, index: u32) -> Result<RegionInfo, Error> {
    let reply = sys::device::region_info(device.as_fd(), index);
    let (raw, reply) = reply.map_err(|e| Error::RegionInfo {
        device: device.name(),
        index,
        source: e.into(),
    })?;
    info(&raw, &reply).map_err(|source| Error::Capabilities {
        device: device.name(),
        of: format!("region {index}"),
        source,
    })
}

fn info(raw: &vfio_region_info, reply: &[u8]) -> Result<RegionInfo, BadCapability> {
    let mappable = raw.flags & VFIO_REGION_INFO_FLAG_MMAP != 0;
    let mut info = RegionInfo {
        flags: raw.flags,
        size: raw.size,
        offset: raw.offset,
        areas: (mappable && raw.size > 0)
            .then_some(0..raw.size)
            .into_iter()
            .collect(),
        region_type: None,
        msix_mappable: false,
    };
    let first = if raw.flags & VFIO_REGION_INFO_FLAG_CAPS != 0 {
        raw.cap_offset
    } else {
        0
    };
    for capability in chain(reply, first)? {
        match capability.id {
            SPARSE_MMAP if mappable => info.areas = areas(&capability, raw.size)?,
            TYPE => {
                info.region_type = Some(RegionType {
                    kind: capability.word(0)?,
                    subtype: capability.word(4)?,
                });
            }
            MSIX_MAPPABLE => info.msix_mappable = true,
            id => tracing::debug!(id, version = capability.version, "unknown capability"),
        }
    }

    Ok(info)
}

/// Reads the list of areas that can be mapped. Empty areas are left out.
fn areas(capability: &Capability<'_>, size: u64) -> Result<Vec<Range<u64>>, BadCapability> {
    let count = capability.word(0)? as usize;
    let mut areas = Vec::new();
    for at in (0..count).map(|i| 8 + 16 * i) {
        let offset = capability.long(at)?;
        let length = capability.long(at + 8)?;
        let end = offset.checked_add(length).filter(|end| *end <= size);
        let end = end.ok_or(BadCapability::Contents(capability.id))?;
        if length > 0 {
            areas.push(offset..end);
        }
    }

    areas.sort_by_key(|area| area.start);
    Ok(areas)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "areas are ranges")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const READ_WRITE_MMAP: u32 =
        VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP;

    fn raw(flags: u32) -> vfio_region_info {
        vfio_region_info {
            flags,
            cap_offset: 32,
            size: 0x10000,
            ..Default::default()
        }
    }

    /// Returns a reply with one capability, of 64-bit words.
    fn reply_with(id: u16, words: &[u64]) -> Vec<u8> {
        let mut reply = vec![0; 32];
        reply.extend(id.to_ne_bytes());
        reply.extend([1, 0, 0, 0, 0, 0]);
        reply.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        reply
    }

    fn parse(id: u16, words: &[u64]) -> Result<RegionInfo, BadCapability> {
        info(
            &raw(READ_WRITE_MMAP | VFIO_REGION_INFO_FLAG_CAPS),
            &reply_with(id, words),
        )
    }

    #[test]
    fn region_without_a_list_is_one_area() {
        assert_eq!(
            info(&raw(READ_WRITE_MMAP), &[0; 32]).unwrap().areas,
            [0..0x10000]
        );
        assert_eq!(
            info(&raw(VFIO_REGION_INFO_FLAG_READ), &[0; 32])
                .unwrap()
                .areas,
            []
        );
    }

    #[test]
    fn areas_are_sorted() {
        let info = parse(SPARSE_MMAP, &[3, 0x8000, 0x1000, 0, 0x2000, 0x4000, 0]).unwrap();
        assert_eq!(info.areas, [0..0x2000, 0x8000..0x9000]);
    }

    #[test]
    fn empty_list_leaves_no_area() {
        assert_eq!(parse(SPARSE_MMAP, &[0]).unwrap().areas, []);
    }

    #[test]
    fn areas_outside_or_missing_are_refused() {
        let bad = Err(BadCapability::Contents(SPARSE_MMAP));
        assert_eq!(parse(SPARSE_MMAP, &[1, 0xf000, 0x2000]), bad);
        assert_eq!(parse(SPARSE_MMAP, &[1, u64::MAX, 2]), bad);
        assert_eq!(parse(SPARSE_MMAP, &[u64::from(u32::MAX), 0, 0x1000]), bad);
        assert_eq!(parse(SPARSE_MMAP, &[]), bad);
    }

    #[test]
    fn type_and_msix_are_read() {
        let info = parse(TYPE, &[0x8000_8086 | 1 << 32]).unwrap();
        assert_eq!(
            info.region_type,
            Some(RegionType {
                kind: 0x8000_8086,
                subtype: 1
            })
        );
        assert!(parse(MSIX_MAPPABLE, &[]).unwrap().msix_mappable);
    }

    #[test]
    fn unknown_capability_is_ignored() {
        assert_eq!(parse(999, &[1, 2, 3]).unwrap().areas, [0..0x10000]);
    }

    proptest! {
        #[test]
        fn areas_stay_inside_for_any_reply(
            id in 0u16..6, words in prop::collection::vec(any::<u64>(), 0..8), count in 0u64..5,
        ) {
            let mut reply = vec![count];
            reply.extend(words.iter().map(|word| word >> 40));
            for area in parse(id, &reply).map(|info| info.areas).unwrap_or_default() {
                prop_assert!(area.start < area.end && area.end <= 0x10000);
            }
        }
    }
}
