//! `VFIO_DEVICE_*`: requests to a device's open file.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{Errno, Result};
use rustix::ioctl::Opcode;
use vfio_bindings::bindings::vfio::*;

use super::ioctl::{MAX_REPLY, bytes, call, call_slice, call_value, number, size};

const GET_INFO: Opcode = number(7);
const GET_REGION_INFO: Opcode = number(8);
const GET_IRQ_INFO: Opcode = number(9);
const SET_IRQS: Opcode = number(10);
const RESET: Opcode = number(11);
const GET_PCI_HOT_RESET_INFO: Opcode = number(12);
const PCI_HOT_RESET: Opcode = number(13);
const IOEVENTFD: Opcode = number(16);
const BIND_IOMMUFD: Opcode = number(18);
const ATTACH_IOMMUFD_PT: Opcode = number(19);
const DETACH_IOMMUFD_PT: Opcode = number(20);
const GET_PRECOPY_INFO: Opcode = number(21);

/// `VFIO_DEVICE_GET_INFO`: returns the struct, and the whole reply with its capabilities.
pub(crate) fn info(fd: BorrowedFd<'_>) -> Result<(vfio_device_info, Vec<u8>)> {
    let argsz = size::<vfio_device_info>();
    let mut arg = vfio_device_info {
        argsz,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<GET_INFO, _>(fd, &mut arg) }?;
    let mut words = vec![0u32; (arg.argsz.clamp(argsz, MAX_REPLY) / 4) as usize];
    words[0] = 4 * words.len() as u32;
    // SAFETY: the request's struct with its array, as long as its size field; no addresses.
    unsafe { call_slice::<GET_INFO, _>(fd, &mut words) }?;
    arg.flags = words[1];
    arg.cap_offset = words[4];
    Ok((arg, bytes(&words)))
}

/// `VFIO_DEVICE_GET_REGION_INFO`: returns the struct, and the whole reply with its capabilities.
pub(crate) fn region_info(fd: BorrowedFd<'_>, index: u32) -> Result<(vfio_region_info, Vec<u8>)> {
    let argsz = size::<vfio_region_info>();
    let mut arg = vfio_region_info {
        argsz,
        index,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<GET_REGION_INFO, _>(fd, &mut arg) }?;
    let mut words = vec![0u32; (arg.argsz.clamp(argsz, MAX_REPLY) / 4) as usize];
    words[0] = 4 * words.len() as u32;
    words[2] = index;
    // SAFETY: the request's struct with its array, as long as its size field; no addresses.
    unsafe { call_slice::<GET_REGION_INFO, _>(fd, &mut words) }?;
    arg.flags = words[1];
    arg.cap_offset = words[3];
    Ok((arg, bytes(&words)))
}

/// `VFIO_DEVICE_RESET`.
pub(crate) fn reset(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the request has no argument.
    unsafe { call_value::<RESET>(fd, 0) }?;
    Ok(())
}

/// `VFIO_DEVICE_GET_IRQ_INFO`.
pub(crate) fn irq_info(fd: BorrowedFd<'_>, index: u32) -> Result<vfio_irq_info> {
    let mut arg = vfio_irq_info {
        argsz: size::<vfio_irq_info>(),
        index,
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<GET_IRQ_INFO, _>(fd, &mut arg) }?;
    Ok(arg)
}

/// Interrupts of a device that a call changes.
#[derive(Clone, Copy)]
pub(crate) struct Irqs {
    pub(crate) index: u32,
    pub(crate) start: u32,
    pub(crate) count: u32,
}

/// Data of `VFIO_DEVICE_SET_IRQS` for each of the interrupts.
pub(crate) enum IrqData<'a> {
    None,
    Bools(&'a [bool]),
    Eventfds(&'a [Option<BorrowedFd<'a>>]),
}

/// `VFIO_DEVICE_SET_IRQS`, with data for each interrupt. Returns 0 if that is done.
///
/// If fewer interrupts are available than are to be enabled, then nothing is done. The result is
/// the number that is available.
pub(crate) fn set_irqs(
    fd: BorrowedFd<'_>,
    irqs: Irqs,
    action: u32,
    data: &IrqData<'_>,
) -> Result<i32> {
    const HEADER: usize = 20;
    let (kind, bytes): (u32, Vec<u8>) = match data {
        IrqData::None => (VFIO_IRQ_SET_DATA_NONE, Vec::new()),
        IrqData::Bools(bools) => (
            VFIO_IRQ_SET_DATA_BOOL,
            bools.iter().map(|on| u8::from(*on)).collect(),
        ),
        IrqData::Eventfds(fds) => {
            let numbers = fds.iter().map(|fd| fd.map_or(-1, |fd| fd.as_raw_fd()));
            (
                VFIO_IRQ_SET_DATA_EVENTFD,
                numbers.flat_map(i32::to_ne_bytes).collect(),
            )
        }
    };
    let fields = [
        (HEADER + bytes.len()) as u32,
        kind | action,
        irqs.index,
        irqs.start,
        irqs.count,
    ];
    let mut arg: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.to_ne_bytes())
        .chain(bytes)
        .collect();
    // SAFETY: the request's struct with its array, as long as its size field; no addresses.
    unsafe { call_slice::<SET_IRQS, _>(fd, &mut arg) }
}

/// A device in `struct vfio_pci_hot_reset_info`.
pub(crate) struct Dependent {
    /// Number of the group, or id of the device in the iommufd.
    pub(crate) id: u32,
    pub(crate) segment: u16,
    pub(crate) bus: u8,
    pub(crate) devfn: u8,
}

/// `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`: returns the flags and the devices.
pub(crate) fn hot_reset_info(fd: BorrowedFd<'_>) -> Result<(u32, Vec<Dependent>)> {
    const HEADER: usize = 3;
    let mut words = vec![0u32; HEADER];
    loop {
        words[0] = 4 * words.len() as u32;
        // SAFETY: the request's struct with its array, as long as its size field; no addresses.
        let result = unsafe { call_slice::<GET_PCI_HOT_RESET_INFO, _>(fd, &mut words) };
        let flags = words[1];
        let count = words[2].min(MAX_REPLY / 8) as usize;
        match result {
            Err(Errno::NOSPC) if HEADER + 2 * count > words.len() => {
                words.resize(HEADER + 2 * count, 0);
            }
            Err(e) => return Err(e),
            Ok(_) => {
                let devices = words[HEADER..]
                    .chunks_exact(2)
                    .take(count)
                    .map(Dependent::new);
                return Ok((flags, devices.collect()));
            }
        }
    }
}

impl Dependent {
    /// Reads `struct vfio_pci_dependent_device`.
    fn new(words: &[u32]) -> Self {
        let [segment0, segment1, bus, devfn] = words[1].to_ne_bytes();
        Self {
            id: words[0],
            segment: u16::from_ne_bytes([segment0, segment1]),
            bus,
            devfn,
        }
    }
}

/// `VFIO_DEVICE_PCI_HOT_RESET`, with the files of groups as proof, or without.
pub(crate) fn hot_reset(fd: BorrowedFd<'_>, groups: &[BorrowedFd<'_>]) -> Result<()> {
    let mut words = vec![4 * (3 + groups.len() as u32), 0, groups.len() as u32];
    words.extend(groups.iter().map(|group| group.as_raw_fd() as u32));
    // SAFETY: the request's struct with its array, as long as its size field; no addresses.
    unsafe { call_slice::<PCI_HOT_RESET, _>(fd, &mut words) }?;
    Ok(())
}

/// `VFIO_DEVICE_IOEVENTFD`. Without an eventfd, it removes the one that has this offset, data and
/// width.
pub(crate) fn ioeventfd(
    fd: BorrowedFd<'_>,
    width: u32,
    offset: u64,
    data: u64,
    event: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut arg = vfio_device_ioeventfd {
        argsz: size::<vfio_device_ioeventfd>(),
        flags: width,
        offset,
        data,
        fd: event.map_or(-1, |event| event.as_raw_fd()),
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses, and the kernel takes a reference of its own to
    // the eventfd.
    unsafe { call::<IOEVENTFD, _>(fd, &mut arg) }?;
    Ok(())
}

/// `VFIO_MIG_GET_PRECOPY_INFO`, on the file of a data transfer.
pub(crate) fn precopy_info(fd: BorrowedFd<'_>) -> Result<vfio_precopy_info> {
    let mut arg = vfio_precopy_info {
        argsz: size::<vfio_precopy_info>(),
        ..Default::default()
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<GET_PRECOPY_INFO, _>(fd, &mut arg) }?;
    Ok(arg)
}

/// `VFIO_DEVICE_BIND_IOMMUFD`: returns the device's id in the iommufd.
pub(crate) fn bind(
    fd: BorrowedFd<'_>,
    iommufd: BorrowedFd<'_>,
    token: Option<&[u8; 16]>,
) -> Result<u32> {
    let mut arg = vfio_device_bind_iommufd {
        argsz: size::<vfio_device_bind_iommufd>(),
        flags: if token.is_some() {
            VFIO_DEVICE_BIND_FLAG_TOKEN
        } else {
            0
        },
        iommufd: iommufd.as_raw_fd(),
        token_uuid_ptr: token.map_or(0, |token| token.as_ptr() as u64),
        ..Default::default()
    };
    // SAFETY: the request's struct; the kernel reads the 16 bytes of the token, if one is given.
    unsafe { call::<BIND_IOMMUFD, _>(fd, &mut arg) }?;
    Ok(arg.out_devid)
}

/// `VFIO_DEVICE_ATTACH_IOMMUFD_PT`: returns the id of the attached page table. The kernel makes one
/// if `pt_id` is an address space.
pub(crate) fn attach(fd: BorrowedFd<'_>, pt_id: u32, pasid: Option<u32>) -> Result<u32> {
    let mut arg = vfio_device_attach_iommufd_pt {
        argsz: size::<vfio_device_attach_iommufd_pt>(),
        flags: if pasid.is_some() {
            VFIO_DEVICE_ATTACH_PASID
        } else {
            0
        },
        pt_id,
        pasid: pasid.unwrap_or_default(),
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<ATTACH_IOMMUFD_PT, _>(fd, &mut arg) }?;
    Ok(arg.pt_id)
}

/// `VFIO_DEVICE_DETACH_IOMMUFD_PT`.
pub(crate) fn detach(fd: BorrowedFd<'_>, pasid: Option<u32>) -> Result<()> {
    let mut arg = vfio_device_detach_iommufd_pt {
        argsz: size::<vfio_device_detach_iommufd_pt>(),
        flags: if pasid.is_some() {
            VFIO_DEVICE_DETACH_PASID
        } else {
            0
        },
        pasid: pasid.unwrap_or_default(),
    };
    // SAFETY: the request's struct; no addresses.
    unsafe { call::<DETACH_IOMMUFD_PT, _>(fd, &mut arg) }?;
    Ok(())
}
