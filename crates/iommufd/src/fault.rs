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

/// A queue of page faults of devices (`IOMMU_FAULT_QUEUE_ALLOC`).
///
/// Faults arrive from page tables that were allocated with
/// [`HwptOptions::fault_queue`](crate::HwptOptions::fault_queue). The queue can be polled: it is
/// readable while it has faults. Its descriptor does not block.
///
/// The kernel answers a pending fault as invalid when the device is detached or the queue
/// destroyed. Drop destroys the queue and logs a failure; [`FaultQueue::close`] returns the
/// failure.
///
/// ```no_run
/// use passthru_iommufd::{Error, FaultQueue, PageFault, PageResponse, PageResponseCode};
///
/// /// Answers the faults in the queue.
/// fn answer(queue: &FaultQueue, populate: impl Fn(&PageFault) -> bool) -> Result<(), Error> {
///     for fault in queue.read()? {
///         if !fault.last {
///             continue;
///         }
///         let code = if populate(&fault) {
///             PageResponseCode::Success
///         } else {
///             PageResponseCode::Invalid
///         };
///         queue.respond(&[PageResponse { cookie: fault.cookie, code }])?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct FaultQueue {
    // Dropped first: the kernel refuses to destroy a queue whose file is open.
    file: OwnedFd,
    object: Object,
}

/// A page fault of a device (`struct iommu_hwpt_pgfault`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// Id of the device in the context.
    pub device: u32,
    /// PASID of the access, or `None` for an access without a PASID.
    pub pasid: Option<u32>,
    /// Device's number for the group of faults (page request group index).
    pub group: u32,
    /// Whether this fault ends its group. A group is answered once, by its last fault.
    pub last: bool,
    /// Access that the device requested.
    pub access: FaultAccess,
    /// Faulting address, as the device sees it.
    pub address: u64,
    /// Hint at the number of bytes that the device will access; 0 for no hint.
    pub length: u32,
    /// Kernel's number for the group, which the answer quotes.
    pub cookie: u32,
}

bitflags::bitflags! {
    /// Access that a device requested to a page (`enum iommu_hwpt_pgfault_perm`).
    ///
    /// Bits of later kernels are kept.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FaultAccess: u32 {
        /// Read (`IOMMU_PGFAULT_PERM_READ`).
        const READ = 1;
        /// Write (`IOMMU_PGFAULT_PERM_WRITE`).
        const WRITE = 1 << 1;
        /// Instruction fetch (`IOMMU_PGFAULT_PERM_EXEC`).
        const EXEC = 1 << 2;
        /// Privileged mode (`IOMMU_PGFAULT_PERM_PRIV`).
        const PRIV = 1 << 3;
        const _ = !0;
    }
}

/// Answer to a group of faults (`struct iommu_hwpt_page_response`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageResponse {
    /// [`PageFault::cookie`] of the group.
    pub cookie: u32,
    /// Result that the device gets.
    pub code: PageResponseCode,
}

/// Result of a page fault for the device (`enum iommufd_page_response_code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageResponseCode {
    /// The page is present now; the device retries (`IOMMUFD_PAGE_RESP_SUCCESS`).
    Success,
    /// The access fails (`IOMMUFD_PAGE_RESP_INVALID`).
    Invalid,
}

/// Size of a fault in the queue, in bytes.
const FAULT_SIZE: usize = size_of::<iommu_hwpt_pgfault>();

/// Largest number of faults to read at once; a group of faults is smaller.
const MOST_FAULTS: usize = 1 << 16;

impl FaultQueue {
    /// Allocates an empty queue (`IOMMU_FAULT_QUEUE_ALLOC`).
    ///
    /// # Errors
    /// - [`Error::FaultQueueAlloc`]: if the process has too many open files, `EMFILE`.
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

    /// Returns the context that the queue belongs to.
    pub fn context(&self) -> &Arc<Iommufd> {
        self.object.context()
    }

    /// Takes pending faults out of the queue, in whole groups. Returns an empty list if there are
    /// none.
    ///
    /// # Errors
    /// - [`Error::Read`]: if the kernel cannot copy the faults.
    pub fn read(&self) -> Result<Vec<PageFault>, Error> {
        let mut buffer = vec![0; 64 * FAULT_SIZE];
        loop {
            match rustix::io::read(&self.file, &mut buffer) {
                Ok(length) => {
                    let faults = buffer[..length].chunks_exact(FAULT_SIZE);
                    return Ok(faults.map(PageFault::decode).collect());
                }
                // The first group does not fit into the buffer.
                Err(Errno::INVAL) if buffer.len() < MOST_FAULTS * FAULT_SIZE => {
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

    /// Answers groups of faults, one answer for each group.
    ///
    /// # Errors
    /// - [`Error::Respond`], with the number of answers taken before the failure: if a cookie has
    ///   no pending group, `EINVAL`.
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
                handled: done / RESPONSE_SIZE,
                source: e.into(),
            })?;
        }

        Ok(())
    }

    /// Destroys the queue (`IOMMU_DESTROY`).
    ///
    /// # Errors
    /// - [`Error::Destroy`]: if a duplicate of its descriptor is still open or a page table uses
    ///   the queue, `EBUSY`. The queue then lasts until the context ends.
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
        let access = u32_at(bytes, offset_of!(iommu_hwpt_pgfault, perm));
        let flags = u32_at(bytes, offset_of!(iommu_hwpt_pgfault, flags));
        let pasid = u32_at(bytes, offset_of!(iommu_hwpt_pgfault, pasid));
        Self {
            device: u32_at(bytes, offset_of!(iommu_hwpt_pgfault, dev_id)),
            pasid: (flags & PASID_VALID != 0).then_some(pasid),
            group: u32_at(bytes, offset_of!(iommu_hwpt_pgfault, grpid)),
            last: flags & LAST_PAGE != 0,
            access: FaultAccess::from_bits_retain(access),
            address: u64_at(bytes, offset_of!(iommu_hwpt_pgfault, addr)),
            length: u32_at(bytes, offset_of!(iommu_hwpt_pgfault, length)),
            cookie: u32_at(bytes, offset_of!(iommu_hwpt_pgfault, cookie)),
        }
    }
}

/// Size of an answer (`struct iommu_hwpt_page_response`), in bytes.
const RESPONSE_SIZE: usize = 8;

impl PageResponse {
    fn encode(self) -> [u8; RESPONSE_SIZE] {
        let code = match self.code {
            PageResponseCode::Success => SUCCESS,
            PageResponseCode::Invalid => INVALID,
        };
        let mut bytes = [0; RESPONSE_SIZE];
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
    fn fault_is_decoded_from_the_kernels_struct() {
        let words: [u32; 10] = [3, 7, 5, 9, 2, 0, 0x1000, 1, 0x2000, 4];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let fault = PageFault {
            device: 7,
            pasid: Some(5),
            group: 9,
            last: true,
            access: FaultAccess::WRITE,
            address: 0x1_0000_1000,
            length: 0x2000,
            cookie: 4,
        };
        assert_eq!(bytes.len(), FAULT_SIZE);
        assert_eq!(PageFault::decode(&bytes), fault);
    }

    #[test]
    fn answer_is_encoded_as_the_kernels_struct() {
        let response = PageResponse {
            cookie: 0x0102,
            code: PageResponseCode::Invalid,
        };
        let bytes = response.encode();
        assert_eq!(bytes.len(), size_of::<iommu_hwpt_page_response>());
        assert_eq!(u32_at(&bytes, 0), 0x0102);
        assert_eq!(u32_at(&bytes, 4), 1);
    }
}
