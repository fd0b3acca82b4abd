//! [`FaultQueue`]: page faults of devices, which the program answers.

use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use iommufd_bindings::iommufd::{
    iommu_hwpt_pgfault, iommu_hwpt_pgfault_flags_IOMMU_PGFAULT_FLAGS_LAST_PAGE as LAST_PAGE,
    iommu_hwpt_pgfault_flags_IOMMU_PGFAULT_FLAGS_PASID_VALID as PASID_VALID,
    iommufd_page_response_code_IOMMUFD_PAGE_RESP_INVALID as INVALID,
    iommufd_page_response_code_IOMMUFD_PAGE_RESP_SUCCESS as SUCCESS,
};
use rustix::io::Errno;

use crate::bytes::{u32_at, u64_at};
use crate::object::Object;
use crate::{Error, Iommufd, sys};

/// Where the faults of the page tables that were allocated with it arrive
/// ([`HwptOptions::fault_queue`](crate::HwptOptions::fault_queue)). It can be polled: readable once
/// there are faults. It is destroyed on drop, with a failure logged; faults without an answer are
/// answered as invalid then, or when their device is detached.
///
/// ```no_run
/// use passthru_iommufd::{Error, FaultQueue, PageFault, PageResponse, PageResponseCode};
///
/// /// Answers what has arrived, once the queue is readable.
/// fn answer(queue: &FaultQueue, populate: impl Fn(&PageFault) -> bool) -> Result<(), Error> {
///     for fault in queue.read()?.iter().filter(|fault| fault.last) {
///         let code = if populate(fault) { PageResponseCode::Success } else { PageResponseCode::Invalid };
///         queue.respond(&[PageResponse { cookie: fault.cookie, code }])?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct FaultQueue {
    // The kernel's object is in use for as long as its file is open: closed first.
    file: OwnedFd,
    object: Object,
}

/// A page fault of a device (`struct iommu_hwpt_pgfault`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// The device's id in the context.
    pub device: u32,
    /// In which of the device's address spaces.
    pub pasid: Option<u32>,
    /// The device's number for a group of faults.
    pub group: u32,
    /// Whether it is the last of its group, which is the one to answer.
    pub last: bool,
    /// What the device wanted to do.
    pub access: FaultAccess,
    /// Where.
    pub address: u64,
    /// How many bytes the device means to use, as a hint; 0 for none.
    pub length: u32,
    /// The kernel's number for the group, for the answer.
    pub cookie: u32,
}

bitflags::bitflags! {
    /// What a device wanted to do with a page (`enum iommu_hwpt_pgfault_perm`), with what later
    /// kernels may add.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FaultAccess: u32 {
        /// Read it.
        const READ = 1;
        /// Write to it.
        const WRITE = 1 << 1;
        /// Execute it.
        const EXEC = 1 << 2;
        /// In privileged mode.
        const PRIV = 1 << 3;
        const _ = !0;
    }
}

/// The answer to a group of faults (`struct iommu_hwpt_page_response`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageResponse {
    /// [`PageFault::cookie`] of the group.
    pub cookie: u32,
    /// What the device is to do.
    pub code: PageResponseCode,
}

/// What a device is to do after a fault (`enum iommufd_page_response_code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageResponseCode {
    /// Try again: the page is there now (`IOMMUFD_PAGE_RESP_SUCCESS`).
    Success,
    /// Give up (`IOMMUFD_PAGE_RESP_INVALID`).
    Invalid,
}

const FAULT: usize = size_of::<iommu_hwpt_pgfault>();

/// As many faults as one group may have, and more.
const MOST: usize = 1 << 16;

impl FaultQueue {
    /// Allocates an empty queue (`IOMMU_FAULT_QUEUE_ALLOC`).
    ///
    /// # Errors
    /// [`Error::FaultQueueAlloc`].
    pub fn alloc(context: &Arc<Iommufd>) -> Result<Self, Error> {
        let (id, file) = sys::device::fault_queue_alloc(context.as_fd())
            .map_err(|e| Error::FaultQueueAlloc { source: e.into() })?;
        Ok(Self {
            file,
            object: Object::new(Arc::clone(context), id),
        })
    }

    /// Returns the kernel's id, which is unique in the context.
    pub fn id(&self) -> u32 {
        self.object.id()
    }

    /// Returns the context that it belongs to.
    pub fn context(&self) -> &Arc<Iommufd> {
        self.object.context()
    }

    /// Takes faults that have arrived, whole groups of them; none where there are none. It does not
    /// wait.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read(&self) -> Result<Vec<PageFault>, Error> {
        let mut buffer = vec![0; 64 * FAULT];
        loop {
            match rustix::io::read(&self.file, &mut buffer) {
                Ok(length) => {
                    return Ok(buffer[..length]
                        .chunks_exact(FAULT)
                        .map(PageFault::decode)
                        .collect());
                }
                // The first group alone is larger.
                Err(Errno::INVAL) if buffer.len() < MOST * FAULT => {
                    buffer.resize(2 * buffer.len(), 0);
                }
                Err(e) => {
                    return Err(Error::Read {
                        queue: self.id(),
                        source: e.into(),
                    });
                }
            }
        }
    }

    /// Answers groups of faults, one answer each.
    ///
    /// # Errors
    /// [`Error::Respond`] says how many were answered before one was refused.
    pub fn respond(&self, responses: &[PageResponse]) -> Result<(), Error> {
        let bytes: Vec<u8> = responses
            .iter()
            .flat_map(|response| response.encode())
            .collect();
        let mut done = 0;
        while done < bytes.len() {
            done += rustix::io::write(&self.file, &bytes[done..]).map_err(|e| Error::Respond {
                queue: self.id(),
                responses: responses.len(),
                handled: done / RESPONSE,
                source: e.into(),
            })?;
        }
        Ok(())
    }

    /// Destroys it (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// [`Error::Destroy`] where its file is open in a copy still: it then stays in the kernel until
    /// the context ends.
    pub fn close(self) -> Result<(), Error> {
        drop(self.file);
        self.object.close()
    }
}

impl AsFd for FaultQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl PageFault {
    fn decode(bytes: &[u8]) -> Self {
        let flags = u32_at(bytes, offset_of!(iommu_hwpt_pgfault, flags));
        let pasid = u32_at(bytes, offset_of!(iommu_hwpt_pgfault, pasid));
        Self {
            device: u32_at(bytes, offset_of!(iommu_hwpt_pgfault, dev_id)),
            pasid: (flags & PASID_VALID != 0).then_some(pasid),
            group: u32_at(bytes, offset_of!(iommu_hwpt_pgfault, grpid)),
            last: flags & LAST_PAGE != 0,
            access: FaultAccess::from_bits_retain(u32_at(
                bytes,
                offset_of!(iommu_hwpt_pgfault, perm),
            )),
            address: u64_at(bytes, offset_of!(iommu_hwpt_pgfault, addr)),
            length: u32_at(bytes, offset_of!(iommu_hwpt_pgfault, length)),
            cookie: u32_at(bytes, offset_of!(iommu_hwpt_pgfault, cookie)),
        }
    }
}

/// The length of an answer in bytes.
const RESPONSE: usize = 8;

impl PageResponse {
    fn encode(self) -> [u8; RESPONSE] {
        let code = match self.code {
            PageResponseCode::Success => SUCCESS,
            PageResponseCode::Invalid => INVALID,
        };
        let mut bytes = [0; RESPONSE];
        bytes[..4].copy_from_slice(&self.cookie.to_ne_bytes());
        bytes[4..].copy_from_slice(&code.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use iommufd_bindings::iommufd::iommu_hwpt_page_response;

    use super::*;

    #[test]
    fn a_fault_is_read_as_the_kernel_writes_it() {
        let words: [u32; 10] = [3, 7, 5, 9, 2, 0, 0x1000, 1, 0x2000, 4];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let (device, pasid, group, access) = (7, Some(5), 9, FaultAccess::WRITE);
        let (address, length, cookie) = (0x1_0000_1000, 0x2000, 4);
        let fault = PageFault {
            device,
            pasid,
            group,
            last: true,
            access,
            address,
            length,
            cookie,
        };
        assert_eq!((PageFault::decode(&bytes), bytes.len()), (fault, FAULT));
    }

    #[test]
    fn an_answer_is_the_kernels_struct() {
        let bytes = PageResponse {
            cookie: 0x0102,
            code: PageResponseCode::Invalid,
        }
        .encode();
        assert_eq!(bytes.len(), size_of::<iommu_hwpt_page_response>());
        assert_eq!((u32_at(&bytes, 0), u32_at(&bytes, 4)), (0x0102, 1));
    }
}
