//! What a type1 container says of itself (`VFIO_IOMMU_GET_INFO`).

use std::ops::RangeInclusive;

use vfio_bindings::bindings::vfio::{
    VFIO_IOMMU_INFO_CAPS, VFIO_IOMMU_INFO_PGSIZES, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
    VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, vfio_iommu_type1_info,
};

use crate::capability::{BadCapability, Capability, chain};

/// What a type1 container says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type1Info {
    /// The page sizes of the IOMMUs, one bit each.
    pub page_sizes: u64,
    /// The IOVAs that can be used, in rising order; all where the kernel does not say, as for
    /// mediated devices alone.
    pub ranges: Vec<RangeInclusive<u64>>,
    /// How many more mappings there can be (`VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL`). Each kernel that a
    /// container is opened on says so.
    pub mappings_left: Option<u32>,
    /// How dirty pages are told (`VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION`). Each kernel that a
    /// container is opened on says so.
    pub dirty: Option<DirtyBitmapLimits>,
}

/// How a type1 container tells dirty pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyBitmapLimits {
    /// The page sizes that a bitmap can be asked for by, one bit each.
    pub page_sizes: u64,
    /// The largest bitmap in bytes.
    pub max_bitmap: u64,
}

impl Type1Info {
    pub(super) fn parse(raw: &vfio_iommu_type1_info, answer: &[u8]) -> Result<Self, BadCapability> {
        let has_sizes = raw.flags & VFIO_IOMMU_INFO_PGSIZES != 0;
        let page_sizes = if has_sizes {
            raw.iova_pgsizes
        } else {
            rustix::param::page_size() as u64
        };
        let mut info = Self {
            page_sizes,
            ranges: vec![0..=u64::MAX],
            mappings_left: None,
            dirty: None,
        };
        let first = if raw.flags & VFIO_IOMMU_INFO_CAPS != 0 {
            raw.cap_offset
        } else {
            0
        };
        for capability in chain(answer, first)? {
            info.take(&capability)?;
        }
        Ok(info)
    }

    /// Reads one capability. The structs begin with the 8 bytes of its header, which `data` does
    /// not have.
    fn take(&mut self, capability: &Capability<'_>) -> Result<(), BadCapability> {
        match (u32::from(capability.id), capability.version) {
            (VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1) => self.ranges = ranges(capability)?,
            (VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1) => self.mappings_left = Some(capability.word(0)?),
            (VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1) => {
                // After flags, which are 0 so far, and 4 bytes of padding.
                let (page_sizes, max_bitmap) = (capability.long(8)?, capability.long(16)?);
                self.dirty = Some(DirtyBitmapLimits {
                    page_sizes,
                    max_bitmap,
                });
            }
            _ => {}
        }
        Ok(())
    }
}

fn ranges(capability: &Capability<'_>) -> Result<Vec<RangeInclusive<u64>>, BadCapability> {
    let count = capability.word(0)? as usize;
    if count > capability.data.len() / 16 {
        return Err(BadCapability::Contents(capability.id));
    }
    let mut ranges = Vec::with_capacity(count);
    for index in 0..count {
        let at = 8 + 16 * index;
        ranges.push(capability.long(at)?..=capability.long(at + 8)?);
    }
    ranges.sort_by_key(|range| *range.start());
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(first: u32) -> vfio_iommu_type1_info {
        let flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
        vfio_iommu_type1_info {
            flags,
            iova_pgsizes: 0x4020_1000,
            cap_offset: first,
            ..Default::default()
        }
    }

    /// An answer whose one capability has these words of 64 bits.
    fn answer(id: u32, words: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0; 24];
        bytes.extend((id | 1 << 16).to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn without_capabilities_all_iovas_can_be_used() {
        let info = Type1Info::parse(&vfio_iommu_type1_info::default(), &[0; 24]).unwrap();
        assert_eq!(
            (info.page_sizes, info.ranges),
            (rustix::param::page_size() as u64, vec![0..=u64::MAX])
        );
        assert_eq!((info.mappings_left, info.dirty), (None, None));
    }

    #[test]
    fn ranges_are_put_in_order() {
        let bytes = answer(
            VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
            &[2, 0x8000, 0xffff, 0, 0xfff],
        );
        let info = Type1Info::parse(&raw(24), &bytes).unwrap();
        assert_eq!(
            (info.page_sizes, info.ranges),
            (0x4020_1000, vec![0..=0xfff, 0x8000..=0xffff])
        );
    }

    #[test]
    fn what_is_left_and_how_dirty_pages_are_told_is_read() {
        let bytes = answer(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, &[65_535]);
        assert_eq!(
            Type1Info::parse(&raw(24), &bytes).unwrap().mappings_left,
            Some(65_535)
        );
        let bytes = answer(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, &[0, 0x1000, 1 << 28]);
        let dirty = Type1Info::parse(&raw(24), &bytes).unwrap().dirty;
        assert_eq!(
            dirty,
            Some(DirtyBitmapLimits {
                page_sizes: 0x1000,
                max_bitmap: 1 << 28
            })
        );
    }

    #[test]
    fn more_ranges_than_there_is_room_for_are_refused() {
        let bytes = answer(
            VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
            &[u64::from(u32::MAX), 0, 1],
        );
        assert_eq!(
            Type1Info::parse(&raw(24), &bytes).unwrap_err(),
            BadCapability::Contents(1)
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(first: u32, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Type1Info::parse(&raw(first), &bytes);
        }
    }
}
