//! `VFIO_DEVICE_FEATURE`: one request for all later features, by the number of the feature.

use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use passthru_iommufd::DirtyRange;
use rustix::io::Result;
use rustix::ioctl::Opcode;
use vfio_bindings::bindings::vfio::*;

use super::ioctl::{call, number};
use crate::BadCapability;
use crate::capability::Capability;

const FEATURE: Opcode = number(17);
const GET: u32 = VFIO_DEVICE_FEATURE_GET;
const SET: u32 = VFIO_DEVICE_FEATURE_SET;

/// `VFIO_DEVICE_FEATURE_ZPCI_ERROR`, which the bindings lack.
pub(crate) const VFIO_DEVICE_FEATURE_ZPCI_ERROR: u32 = 13;

/// `struct vfio_device_feature` with the struct that follows it. The header has 8 bytes, so no
/// padding comes between them.
#[repr(C)]
struct Feature<T> {
    argsz: u32,
    flags: u32,
    data: T,
}

/// Calls the kernel for a feature, and returns its result.
///
/// # Safety
/// - `T` is the struct of the feature in `flags`.
/// - The kernel may use each address in the struct as this feature does.
unsafe fn feature<T: Copy>(fd: BorrowedFd<'_>, flags: u32, data: &mut T) -> Result<i32> {
    let mut arg = Feature {
        argsz: size_of::<Feature<T>>() as u32,
        flags,
        data: *data,
    };
    // SAFETY: the request's struct, with the feature's by this function's contract.
    let result = unsafe { call::<FEATURE, _>(fd, &mut arg) };
    *data = arg.data;
    result
}

/// Checks that the kernel has a feature for the device (`VFIO_DEVICE_FEATURE_PROBE`).
pub(crate) fn probe(fd: BorrowedFd<'_>, number: u32) -> Result<()> {
    // SAFETY: a probe has no struct.
    unsafe { feature(fd, number | VFIO_DEVICE_FEATURE_PROBE, &mut ()) }?;
    Ok(())
}

/// Sets a feature that has no struct: `…_LOW_POWER_ENTRY`, `…_LOW_POWER_EXIT`, `…_DMA_LOGGING_STOP`
/// and `…_MIG_PRECOPY_INFOv2`.
pub(crate) fn set(fd: BorrowedFd<'_>, number: u32) -> Result<()> {
    // SAFETY: these features have no struct; another one refuses an argument that is too short.
    unsafe { feature(fd, number | SET, &mut ()) }?;
    Ok(())
}

/// `…_PCI_VF_TOKEN`.
pub(crate) fn set_vf_token(fd: BorrowedFd<'_>, mut token: [u8; 16]) -> Result<()> {
    // SAFETY: the feature's 16 bytes; no addresses.
    unsafe { feature(fd, VFIO_DEVICE_FEATURE_PCI_VF_TOKEN | SET, &mut token) }?;
    Ok(())
}

/// `…_BUS_MASTER`.
pub(crate) fn set_bus_master(fd: BorrowedFd<'_>, op: u32) -> Result<()> {
    let mut data = vfio_device_feature_bus_master { op };
    // SAFETY: the feature's struct; no addresses.
    unsafe { feature(fd, VFIO_DEVICE_FEATURE_BUS_MASTER | SET, &mut data) }?;
    Ok(())
}

/// `…_LOW_POWER_ENTRY_WITH_WAKEUP`.
pub(crate) fn low_power_with_wakeup(fd: BorrowedFd<'_>, event: BorrowedFd<'_>) -> Result<()> {
    let wakeup_eventfd = event.as_raw_fd();
    let mut data = vfio_device_low_power_entry_with_wakeup {
        wakeup_eventfd,
        ..Default::default()
    };
    // SAFETY: the feature's struct; no addresses, and the kernel takes a reference of its own to
    // the file.
    unsafe {
        feature(
            fd,
            VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | SET,
            &mut data,
        )
    }?;
    Ok(())
}

/// `…_MIGRATION`: returns `VFIO_MIGRATION_…` flags.
pub(crate) fn migration(fd: BorrowedFd<'_>) -> Result<u64> {
    let mut data = vfio_device_feature_migration::default();
    // SAFETY: the feature's struct; no addresses.
    unsafe { feature(fd, VFIO_DEVICE_FEATURE_MIGRATION | GET, &mut data) }?;
    Ok(data.flags)
}

/// `…_MIG_DEVICE_STATE`: returns the state.
pub(crate) fn migration_state(fd: BorrowedFd<'_>) -> Result<u32> {
    let mut data = vfio_device_feature_mig_state::default();
    // SAFETY: the feature's struct; no addresses.
    unsafe { feature(fd, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE | GET, &mut data) }?;
    Ok(data.device_state)
}

/// `…_MIG_DEVICE_STATE`: returns the file of a new data transfer, if one begins.
pub(crate) fn set_migration_state(
    fd: BorrowedFd<'_>,
    device_state: u32,
) -> Result<Option<OwnedFd>> {
    let mut data = vfio_device_feature_mig_state {
        device_state,
        data_fd: -1,
    };
    // SAFETY: the feature's struct; no addresses.
    unsafe { feature(fd, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE | SET, &mut data) }?;
    // SAFETY: if the number is a descriptor, then the kernel made it for this call.
    Ok((data.data_fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(data.data_fd) }))
}

/// `…_MIG_DATA_SIZE`: returns a number of bytes.
pub(crate) fn migration_data_size(fd: BorrowedFd<'_>) -> Result<u64> {
    let mut data = vfio_device_feature_mig_data_size::default();
    // SAFETY: the feature's struct; no addresses.
    unsafe { feature(fd, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE | GET, &mut data) }?;
    Ok(data.stop_copy_length)
}

/// `…_DMA_LOGGING_START`: returns the page size that the device tracks.
pub(crate) fn dma_logging_start(
    fd: BorrowedFd<'_>,
    page_size: u64,
    ranges: &[vfio_device_feature_dma_logging_range],
) -> Result<u64> {
    let mut data = vfio_device_feature_dma_logging_control {
        page_size,
        num_ranges: ranges.len() as u32,
        ranges: ranges.as_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: the feature's struct; the kernel reads `num_ranges` elements of the slice.
    unsafe { feature(fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_START | SET, &mut data) }?;
    Ok(data.page_size)
}

/// `…_DMA_LOGGING_REPORT`: sets bits.
///
/// # Safety
/// - The bitmap begins on a page, and is whole pages long.
/// - The bitmap has a bit for each `page_size` bytes of the range.
/// - The kernel may write to all pages of the bitmap, also behind the range's last bit: a device
///   may log by larger pages.
pub(crate) unsafe fn dma_logging_report(
    fd: BorrowedFd<'_>,
    range: DirtyRange,
    bitmap: *mut u8,
) -> Result<()> {
    let mut data = vfio_device_feature_dma_logging_report {
        iova: range.iova,
        length: range.length,
        page_size: range.page_size,
        bitmap: bitmap as u64,
    };
    // SAFETY: the feature's struct; the kernel writes to the bitmap alone, by this function's
    // contract.
    unsafe { feature(fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT | GET, &mut data) }?;
    Ok(())
}

/// `struct vfio_device_feature_dma_buf` with one range.
#[derive(Clone, Copy)]
#[repr(C)]
struct DmaBuf {
    region_index: u32,
    open_flags: u32,
    flags: u32,
    nr_ranges: u32,
    range: vfio_region_dma_range,
}

/// `…_DMA_BUF`: returns a dma-buf of one range of a region.
pub(crate) fn dma_buf(
    fd: BorrowedFd<'_>,
    region_index: u32,
    range: &Range<u64>,
) -> Result<OwnedFd> {
    let open_flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let range = vfio_region_dma_range {
        offset: range.start,
        length: range.end.saturating_sub(range.start),
    };
    let mut data = DmaBuf {
        region_index,
        open_flags: open_flags.bits(),
        flags: 0,
        nr_ranges: 1,
        range,
    };
    // SAFETY: the feature's struct with one element; no addresses.
    let fd = unsafe { feature(fd, VFIO_DEVICE_FEATURE_DMA_BUF | GET, &mut data) }?;
    // SAFETY: the kernel made this descriptor for this call.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `struct vfio_device_feature_zpci_err`, which the bindings lack.
#[derive(Clone, Copy)]
#[repr(C)]
struct ZpciErr {
    data: u64,
}

/// Length in bytes of the struct that `…_ZPCI_ERROR` writes. The kernel does not learn the length
/// of the buffer, so only the kernel's own capability yields such a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ZpciErrorLength(u32);

impl ZpciErrorLength {
    /// Offset of `ccdf_err_length` in `struct vfio_device_info_cap_zpci_base`, behind the header.
    const OFFSET: usize = 28;

    /// First version of the capability that has the field.
    const VERSION: u16 = 3;

    /// Largest length that is accepted; Linux 7.3 has 32 bytes.
    const MAX: u32 = 4096;

    /// Reads the length from `VFIO_DEVICE_INFO_CAP_ZPCI_BASE`.
    ///
    /// `None` before Linux 7.3. A length out of range counts as `None` too, and the device works
    /// without.
    pub(crate) fn from_base(
        capability: &Capability<'_>,
    ) -> std::result::Result<Option<Self>, BadCapability> {
        if capability.version < Self::VERSION {
            return Ok(None);
        }
        match capability.word(Self::OFFSET)? {
            length @ 1..=Self::MAX => Ok(Some(Self(length))),
            length => {
                tracing::debug!(length, "length of zPCI error information out of range");
                Ok(None)
            }
        }
    }
}

/// `…_ZPCI_ERROR`: returns `struct zpci_ccdf_err` of the oldest pending error, which is then no
/// longer pending.
pub(crate) fn zpci_error(fd: BorrowedFd<'_>, length: ZpciErrorLength) -> Result<Vec<u8>> {
    let mut buffer = vec![0_u8; length.0 as usize];
    let mut data = ZpciErr {
        data: buffer.as_mut_ptr() as u64,
    };
    // SAFETY: the feature's struct; the kernel writes as many bytes as its capability reported,
    // which is the length of the buffer. The buffer lives, and is not used otherwise, until the
    // call returns.
    unsafe { feature(fd, VFIO_DEVICE_FEATURE_ZPCI_ERROR | GET, &mut data) }?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `VFIO_DEVICE_INFO_CAP_ZPCI_BASE` behind its header, with this length at the end.
    fn base(length: u32) -> Vec<u8> {
        let words = [0, 0, 0, 0, 0, 0, 0xfe11, length];
        words
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect()
    }

    fn read(
        version: u16,
        data: &[u8],
    ) -> std::result::Result<Option<ZpciErrorLength>, BadCapability> {
        ZpciErrorLength::from_base(&Capability {
            id: 1,
            version,
            data,
        })
    }

    #[test]
    fn error_length_comes_with_version_3() {
        assert_eq!(read(3, &base(32)), Ok(Some(ZpciErrorLength(32))));
        assert_eq!(read(4, &base(40)), Ok(Some(ZpciErrorLength(40))));
        assert_eq!(read(2, &base(32)[..28]), Ok(None));
        assert_eq!(read(1, &base(32)[..24]), Ok(None));
    }

    #[test]
    fn error_length_out_of_range_counts_as_none() {
        assert_eq!(read(3, &base(4096)), Ok(Some(ZpciErrorLength(4096))));
        for length in [0, 4097, u32::MAX] {
            assert_eq!(read(3, &base(length)), Ok(None));
        }
        assert_eq!(read(3, &base(32)[..28]), Err(BadCapability::Contents(1)));
    }
}
