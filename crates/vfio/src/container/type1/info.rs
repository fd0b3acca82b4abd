//! [`Type1Info`]: page sizes, usable IOVAs and limits of a type1 container.

use std::ops::RangeInclusive;

use vfio_bindings::bindings::vfio::{
    VFIO_IOMMU_INFO_CAPS, VFIO_IOMMU_INFO_PGSIZES, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
    VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, vfio_iommu_type1_info,
};

use crate::capability::{BadCapability, Capability, chain};

/// Page sizes, usable IOVAs and limits of a type1 container (`VFIO_IOMMU_GET_INFO`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type1Info {
    /// Page sizes that all IOMMUs of the container support, as a bitmap: bit 12 stands for 4 KiB.
    pub page_sizes: u64,
    /// Usable IOVAs in rising order. If the kernel lists none, as for mediated devices alone, then
    /// all.
    pub ranges: Vec<RangeInclusive<u64>>,
    /// Number of mappings that can still be made (`VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL`). Each
    /// kernel that a container can be opened on reports it.
    pub mappings_left: Option<u32>,
    /// Limits for reading dirty pages (`VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION`). Each
    /// kernel that a container can be opened on reports them.
    pub dirty: Option<DirtyBitmapLimits>,
}

/// Limits of a type1 container for reading dirty pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyBitmapLimits {
    /// Page sizes that a bitmap can have, as a bitmap: bit 12 stands for 4 KiB.
    pub page_sizes: u64,
    /// Size of the largest bitmap, in bytes.
    pub max_bitmap: u64,
}

impl Type1Info {
    pub(super) fn parse(raw: &vfio_iommu_type1_info, reply: &[u8]) -> Result<Self, BadCapability> {
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
        for capability in chain(reply, first)? {
            info.read(&capability)?;
        }
        Ok(info)
    }

    /// Reads one capability. The kernel's structs start with the 8 bytes of the header, which
    /// `data` leaves out.
    fn read(&mut self, capability: &Capability<'_>) -> Result<(), BadCapability> {
        match (u32::from(capability.id), capability.version) {
            (VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1) => self.ranges = ranges(capability)?,
            (VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1) => self.mappings_left = Some(capability.word(0)?),
            (VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1) => {
                // The flags, which are 0 so far, and 4 bytes of padding come first.
                self.dirty = Some(DirtyBitmapLimits {
                    page_sizes: capability.long(8)?,
                    max_bitmap: capability.long(16)?,
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

    /// Returns a reply whose one capability has these words of 64 bits.
    fn reply(id: u32, words: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0; 24];
        bytes.extend((id | 1 << 16).to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn info_without_capabilities_allows_all_iovas() {
        let info = Type1Info::parse(&vfio_iommu_type1_info::default(), &[0; 24]).unwrap();
        assert_eq!(
            (info.page_sizes, info.ranges),
            (rustix::param::page_size() as u64, vec![0..=u64::MAX])
        );
        assert_eq!((info.mappings_left, info.dirty), (None, None));
    }

    #[test]
    fn ranges_are_sorted() {
        let bytes = reply(
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
    fn mappings_left_and_dirty_limits_are_read() {
        let bytes = reply(VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, &[65_535]);
        assert_eq!(
            Type1Info::parse(&raw(24), &bytes).unwrap().mappings_left,
            Some(65_535)
        );

        let bytes = reply(VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, &[0, 0x1000, 1 << 28]);
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
    fn count_beyond_the_reply_is_refused() {
        let bytes = reply(
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
        fn any_reply_is_parsed_without_panic(
            first: u32, bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = Type1Info::parse(&raw(first), &bytes);
        }
    }
}
