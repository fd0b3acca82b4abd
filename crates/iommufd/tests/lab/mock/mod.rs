//! The kernel's mock devices behind /dev/iommu (`CONFIG_IOMMUFD_TEST`), and its other calls for
//! tests.
#![allow(unsafe_code)]

mod device;
#[path = "../../kernel_test/mod.rs"]
mod kernel_test;

pub(crate) use device::{Device, NO_DIRTY_TRACKING, PASID};

use std::fs;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use iommufd_bindings::iommufd::{IOMMUFD_CMD_DESTROY, IOMMUFD_TYPE, iommu_destroy};
use passthru_iommufd::{Hwpt, HwptData, HwptOptions, Ioas, Iommufd};
use rustix::fs::OFlags;
use rustix::io::Result;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

use kernel_test::test;

/// IOVAs that a mock device can use.
pub(crate) const APERTURE: RangeInclusive<u64> = 1 << 24..=(1 << 31) - 1;

const DESTROY: Opcode = opcode::none(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY as u8);
const ADD_RESERVED: u32 = 1;
const CHECK_IOTLB: u32 = 14;
const DMABUF_GET: u32 = 22;
const DMABUF_REVOKE: u32 = 23;

/// Type numbers of the kernel's test driver.
pub(crate) const HWPT_DATA: u32 = 0xdead;
pub(crate) const HW_INFO: u32 = 0xfeed_beef;
pub(crate) const HW_INFO_REGISTER: u32 = 0xdead_beef;
pub(crate) const INVALIDATION: u32 = 0xdead_beef;
pub(crate) const VIOMMU: u32 = 0xdead_beef;
pub(crate) const VEVENTQ: u32 = 0xbeef_beef;
pub(crate) const HW_QUEUE: u32 = 0xdead_beef;

/// Returns two 32-bit fields that lie side by side.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Destroys any object of a context, without the knowledge of its owner.
pub(crate) fn destroy(context: &Iommufd, id: u32) -> Result<()> {
    let mut arg = iommu_destroy {
        size: size_of::<iommu_destroy>() as u32,
        id,
    };
    // SAFETY: the request's struct; no addresses.
    unsafe {
        ioctl(
            context.as_fd(),
            Updater::<DESTROY, iommu_destroy>::new(&mut arg),
        )
    }
}

/// Makes IOVAs unusable, as a device's reserved region does.
pub(crate) fn reserve(ioas: &Ioas, start: u64, length: u64) {
    test(ioas.context(), ADD_RESERVED, ioas.id(), &[start, length]).unwrap();
}

/// Allocates a dma-buf of the kernel's own.
///
/// Linux 7.2 returns its descriptor; 7.3.4 makes the descriptor and returns 0. The new descriptor
/// is therefore searched for.
pub(crate) fn dma_buf(context: &Iommufd, length: u32) -> OwnedFd {
    let before = dma_bufs();
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    test(context, DMABUF_GET, 0, &[pair(length, flags.bits())]).unwrap();
    let made = dma_bufs()
        .into_iter()
        .find(|fd| !before.contains(fd))
        .unwrap();
    // SAFETY: the kernel has just made this descriptor for this call, and tests run one at a time.
    unsafe { OwnedFd::from_raw_fd(made) }
}

/// Returns the descriptors of this process that are dma-bufs.
fn dma_bufs() -> Vec<RawFd> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let dma_bufs = entries.filter(|entry| {
        fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().starts_with("/dmabuf:"))
    });
    dma_bufs
        .map(|entry| entry.file_name().to_str().unwrap().parse().unwrap())
        .collect()
}

/// Revokes the memory of a dma-buf, or restores it.
pub(crate) fn revoke(context: &Iommufd, buffer: impl AsFd, revoked: bool) {
    let fd = buffer.as_fd().as_raw_fd() as u32;
    test(context, DMABUF_REVOKE, 0, &[pair(fd, revoked.into())]).unwrap();
}

/// Returns the options of a guest's page table, whose 4 cached entries are `entry` at first.
pub(crate) fn guest(entry: u32) -> HwptOptions {
    let data = HwptData::Raw {
        data_type: HWPT_DATA,
        data: words(&[entry, 0]),
    };
    HwptOptions {
        data: Some(data),
        ..HwptOptions::default()
    }
}

/// Returns whether a guest's page table has these cached entries; 0 stands for an invalidated one.
pub(crate) fn has_cached(hwpt: &Hwpt, entries: [u32; 4]) -> bool {
    (0..).zip(entries).all(|(index, entry)| {
        let given = [pair(index, entry)];
        test(hwpt.context(), CHECK_IOTLB, hwpt.id(), &given).is_ok()
    })
}

/// Returns numbers as bytes in memory order.
pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
