//! A BAR that another device reaches through a dma-buf, and the events that empty the mapping.

use std::os::fd::AsFd;
use std::sync::Arc;

use passthru_iommufd::{Access, DmaMemory, Ioas, Iova};
use passthru_lab::devices::{CMB_NVME, EDU};
use passthru_vfio::device::{Attached, Device, Region};
use rustix::fs::fstat;
use rustix::io::{Errno, FdFlags, fcntl_getfd};

use super::{assert_hint, errno};
use crate::edu::{Edu, decode, enable};
use crate::taken::{Taken, iommufd, take, take_two};

/// The BAR with the controller's memory buffer.
const BUFFER: u32 = 2;
const LENGTH: u64 = 0x1000;
const MEMORY_IOVA: u64 = 0x10_0000;
const BUFFER_IOVA: u64 = 0x20_0000;

/// `edu`, which reaches memory, and a disk with a memory buffer.
struct Peers {
    edu: Edu,
    disk: Device,
    ioas: Arc<Ioas>,
    memory: Arc<DmaMemory>,
    _attached: Attached,
}

impl Peers {
    fn new([edu, disk]: &[Taken; 2]) -> Self {
        let context = iommufd();
        let ioas = Arc::new(Ioas::alloc(&context).unwrap());
        let attached = edu.bind(&context).attach(Arc::clone(&ioas)).unwrap();
        let disk = disk.bind(&context).device().clone();
        enable(&disk);
        let memory = Arc::new(DmaMemory::alloc(LENGTH as usize).unwrap());
        let edu = Edu::new(attached.device());
        Self {
            edu,
            disk,
            ioas,
            memory,
            _attached: attached,
        }
    }

    fn buffer(&self) -> Region {
        self.disk.region(BUFFER).unwrap()
    }

    fn map(&self, iova: u64) -> Result<u64, passthru_iommufd::Error> {
        let file = self.buffer().dma_buf(0..LENGTH).unwrap();
        self.ioas
            .map_file(&file, 0, LENGTH, Iova::At(iova), Access::ReadWrite)
    }

    /// Returns whether a write of `edu` to the buffer's IOVA reaches the buffer.
    fn reaches(&self, pattern: u8) -> bool {
        let mapping = self
            .ioas
            .map_memory(&self.memory, Iova::At(MEMORY_IOVA), Access::ReadWrite)
            .unwrap();
        assert_eq!(self.memory.write(0, &[pattern; 64]), 64);
        self.edu.load(MEMORY_IOVA, 64);
        mapping.unmap().unwrap();
        self.edu.store(BUFFER_IOVA, 64);
        let mut bytes = [0; 64];
        self.buffer().read_bytes(0, &mut bytes).unwrap();
        bytes == [pattern; 64]
    }
}

fn number(error: &passthru_iommufd::Error) -> Option<Errno> {
    Errno::from_io_error(error.io()?)
}

#[test]
fn device_writes_to_bar_of_another() {
    let taken = take_two(EDU, CMB_NVME);
    let peers = Peers::new(&taken);
    peers.map(BUFFER_IOVA).unwrap();
    assert!(peers.reaches(0x11) && peers.reaches(0x22));
    assert_eq!(peers.ioas.unmap(BUFFER_IOVA, LENGTH).unwrap(), LENGTH);
    assert!(!peers.reaches(0x33));
}

/// Checks that an event empties the mapping, that it stays empty, and that a new mapping works.
fn assert_lost_by(lose: impl FnOnce(&Device), regain: impl FnOnce(&Device)) {
    let taken = take_two(EDU, CMB_NVME);
    let peers = Peers::new(&taken);
    peers.map(BUFFER_IOVA).unwrap();
    assert!(peers.reaches(0x44));
    lose(&peers.disk);
    regain(&peers.disk);
    enable(&peers.disk);
    assert!(!peers.reaches(0x55), "the mapping was filled again");
    assert_eq!(
        number(&peers.map(BUFFER_IOVA).unwrap_err()),
        Some(Errno::EXIST),
        "the IOVA was free"
    );
    assert_eq!(peers.ioas.unmap(BUFFER_IOVA, LENGTH).unwrap(), LENGTH);
    peers.map(BUFFER_IOVA).unwrap();
    assert!(peers.reaches(0x66));
}

#[test]
fn dma_buf_mapping_is_lost_with_memory_decode() {
    assert_lost_by(|disk| decode(disk, false), |disk| decode(disk, true));
}

#[test]
fn dma_buf_mapping_is_lost_by_reset() {
    assert_lost_by(|disk| disk.reset().unwrap(), |_| ());
}

#[test]
fn dma_buf_mapping_is_lost_by_low_power() {
    assert_lost_by(
        |disk| disk.enter_low_power().unwrap(),
        |disk| disk.exit_low_power().unwrap(),
    );
}

#[test]
fn dma_buf_mapping_is_lost_in_d3() {
    assert_lost_by(
        |disk| set_power_state(disk, 3),
        |disk| set_power_state(disk, 0),
    );
}

/// Writes the power state into the device's power management capability.
fn set_power_state(device: &Device, state: u16) {
    let config = device.region(Region::CONFIG).unwrap();
    let mut at = u64::from(config.read::<u8>(0x34).unwrap());
    while config.read::<u8>(at).unwrap() != 1 {
        at = config.read::<u8>(at + 1).unwrap().into();
        assert!(at != 0, "the device has no power management capability");
    }

    let control: u16 = config.read(at + 4).unwrap();
    config.write(at + 4, control & !3 | state).unwrap();
}

#[test]
fn dma_buf_without_memory_decode_cannot_be_mapped() {
    let taken = take_two(EDU, CMB_NVME);
    let peers = Peers::new(&taken);
    decode(&peers.disk, false);
    assert_eq!(
        number(&peers.map(BUFFER_IOVA).unwrap_err()),
        Some(Errno::NODEV)
    );

    decode(&peers.disk, true);
    peers.map(BUFFER_IOVA).unwrap();
    assert!(peers.reaches(0x77));
}

#[test]
fn ranges_of_bar_have_separate_dma_bufs() {
    let taken = take(CMB_NVME);
    let device = taken.device();
    enable(&device);
    let bar = device.region(BUFFER).unwrap();
    let size = bar.size();
    let bufs = [0..LENGTH, LENGTH..2 * LENGTH, 0..size].map(|range| bar.dma_buf(range).unwrap());
    let sizes = bufs
        .each_ref()
        .map(|buf| rustix::fs::seek(buf, rustix::fs::SeekFrom::End(0)).unwrap());

    assert_eq!(sizes, [LENGTH, LENGTH, size]);

    let [one, other, _] = bufs.each_ref().map(|buf| fstat(buf).unwrap().st_ino);
    assert_ne!(one, other);
    assert!(
        fcntl_getfd(bufs[0].as_fd())
            .unwrap()
            .contains(FdFlags::CLOEXEC)
    );
}

#[test]
fn partial_page_of_bar_is_not_exported() {
    let taken = take(CMB_NVME);
    let device = taken.device();
    enable(&device);
    let bar = device.region(BUFFER).unwrap();
    let size = bar.size();
    for range in [0..0, 0..0x800, 0x800..0x1800, size..size + LENGTH] {
        let error = bar.dma_buf(range).unwrap_err();
        assert_eq!(errno(&error), Some(Errno::INVAL), "{error}");
    }

    assert_hint(
        &bar.dma_buf(0x800..0x1000).unwrap_err(),
        Errno::INVAL,
        "whole pages",
    );
    let config = device.region(Region::CONFIG).unwrap();
    assert_hint(
        &config.dma_buf(0..LENGTH).unwrap_err(),
        Errno::NODEV,
        "export a BAR",
    );
}
