//! [`Model`]: a container in memory that behaves as the kernel does, with failures on request.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use passthru_vfio::address_space::Span;
use passthru_vfio::container::{Access, Backend, Capabilities, DirtyRange, Dma, Error, IovaRanges};
use rustix::io::Errno;

/// The memory behind a mapping: an address, or a descriptor with an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Address(u64),
    File(i32, u64),
}

/// A mapping: its last IOVA, its target and its access.
pub(crate) type Mapping = (u64, Target, Access);

/// A container in memory.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) capabilities: Capabilities,
    pub(crate) usable: Mutex<IovaRanges>,
    mappings: Mutex<BTreeMap<u64, Mapping>>,
    /// Dirty pages of the mappings.
    pub(crate) dirty: Mutex<BTreeSet<u64>>,
    pub(crate) tracking: AtomicBool,
    /// Calls that fail: bit i is the i-th call from now on.
    failures: AtomicU64,
    pub(crate) calls: AtomicU64,
    /// Whether a call took effect and then failed, since [`Model::fail`].
    late: AtomicBool,
    /// Whether a second call failed after such a call: then the mappings cannot be known.
    pub(crate) doubtful: AtomicBool,
}

impl Model {
    /// Makes a container without limits, which can map files.
    pub(crate) fn new() -> Arc<Self> {
        Self::with_capabilities(|_| ())
    }

    /// Makes a container whose capabilities `change` adapts.
    pub(crate) fn with_capabilities(change: impl FnOnce(&mut Capabilities)) -> Arc<Self> {
        let mut capabilities = Capabilities::minimal(Backend::Iommufd);
        capabilities.map_file = true;
        change(&mut capabilities);
        Arc::new(Self {
            capabilities,
            usable: Mutex::new(IovaRanges {
                ranges: vec![0..=u64::MAX],
                alignment: 0x1000,
            }),
            mappings: Mutex::default(),
            dirty: Mutex::default(),
            tracking: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            late: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
        })
    }

    /// Sets the calls that fail: bit i is the i-th call from now on.
    pub(crate) fn fail(&self, failures: u64) {
        self.failures.store(failures, Ordering::Relaxed);
        self.late.store(false, Ordering::Relaxed);
    }

    pub(crate) fn mappings(&self) -> BTreeMap<u64, Mapping> {
        self.mappings.lock().unwrap().clone()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.mappings()
            .iter()
            .map(|(start, (last, ..))| Span::new(*start, last - start + 1).unwrap())
            .collect()
    }

    /// Returns the memory that a device reaches at an IOVA.
    pub(crate) fn at(&self, iova: u64) -> Option<Target> {
        let mappings = self.mappings.lock().unwrap();
        let (start, (last, target, _)) = mappings.range(..=iova).next_back()?;
        let within = iova - start;
        (iova <= *last).then_some(match *target {
            Target::Address(address) => Target::Address(address + within),
            Target::File(file, offset) => Target::File(file, offset + within),
        })
    }

    /// Counts a call and decides whether it fails.
    ///
    /// Every third failure takes effect first: the result is `Ok` with the errno (`EFAULT`). The
    /// kernel fails so if it cannot copy its results to the caller. Other failures are errors.
    fn call(&self) -> io::Result<Option<Errno>> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let failures = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| Some(bits >> 1));
        if failures.unwrap() & 1 == 0 {
            return Ok(None);
        }
        let late = call.is_multiple_of(3);
        self.doubtful.fetch_or(
            self.late.fetch_or(late, Ordering::Relaxed),
            Ordering::Relaxed,
        );
        if late {
            Ok(Some(Errno::FAULT))
        } else {
            Err(Errno::NOMEM.into())
        }
    }

    /// Writes to a page as a device does. Returns its memory, if the page is mapped.
    pub(crate) fn write(&self, page: u64) -> Option<Target> {
        let target = self.at(page)?;
        self.dirty.lock().unwrap().insert(page);
        Some(target)
    }

    /// Sets the bits of dirty pages, up to the first gap and of at most `most` pages.
    fn read_dirty(&self, iova: u64, length: u64, clear: bool, most: usize, bitmap: &mut [u64]) {
        let mut dirty = self.dirty.lock().unwrap();
        let pages = (iova..iova + length).step_by(0x1000).take(most);
        for (bit, page) in pages
            .take_while(|page| self.at(*page).is_some())
            .enumerate()
        {
            let is_dirty = if clear {
                dirty.remove(&page)
            } else {
                dirty.contains(&page)
            };
            bitmap[bit / 64] |= u64::from(is_dirty) << (bit % 64);
        }
    }

    fn add(&self, iova: u64, length: u64, target: Target, access: Access) -> io::Result<()> {
        let late = self.call()?;
        let usable = self.usable.lock().unwrap().clone();
        let last = length
            .checked_sub(1)
            .and_then(|length| iova.checked_add(length))
            .ok_or(Errno::OVERFLOW)?;
        let is_usable = usable
            .ranges
            .iter()
            .any(|range| range.contains(&iova) && range.contains(&last));
        if !is_usable || !(iova | length).is_multiple_of(usable.alignment) {
            return Err(Errno::INVAL.into());
        }
        let mut mappings = self.mappings.lock().unwrap();
        if mappings
            .range(..=last)
            .next_back()
            .is_some_and(|(_, (end, ..))| *end >= iova)
        {
            return Err(Errno::EXIST.into());
        }

        mappings.insert(iova, (last, target, access));
        late.map_or(Ok(()), |errno| Err(errno.into()))
    }

    /// Unmaps as the kernel does.
    ///
    /// - If the range cuts a mapping, the mappings before that one are gone, and the call fails.
    /// - If the range has no mapping, the call fails.
    fn remove(&self, iova: u64, length: u64) -> io::Result<u64> {
        let late = self.call()?;
        let end = iova.saturating_add(length - 1);
        let mut mappings = self.mappings.lock().unwrap();
        let overlapping: Vec<_> = mappings
            .range(..=end)
            .filter(|(_, (last, ..))| *last >= iova)
            .map(|(start, (last, ..))| (*start, *last))
            .collect();
        let mut bytes = 0;
        for (start, last) in overlapping {
            if start < iova || last > end {
                return Err(Errno::NOENT.into());
            }
            mappings.remove(&start);
            self.dirty
                .lock()
                .unwrap()
                .retain(|page| !(start..=last).contains(page));
            bytes += last - start + 1;
        }

        match late {
            _ if bytes == 0 => Err(Errno::NOENT.into()),
            Some(errno) => Err(errno.into()),
            None => Ok(bytes),
        }
    }
}

// SAFETY: no device reaches memory through a model.
unsafe impl Dma for Model {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    unsafe fn map(
        &self,
        memory: *mut u8,
        length: u64,
        iova: u64,
        access: Access,
    ) -> Result<(), Error> {
        self.add(iova, length, Target::Address(memory as u64), access)
            .map_err(|source| Error::Map {
                iova,
                length,
                source,
            })
    }

    fn map_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        iova: u64,
        access: Access,
    ) -> Result<(), Error> {
        assert!(self.capabilities.map_file);
        self.add(iova, length, Target::File(file.as_raw_fd(), offset), access)
            .map_err(|source| Error::Map {
                iova,
                length,
                source,
            })
    }

    fn unmap(&self, iova: u64, length: u64) -> Result<u64, Error> {
        self.remove(iova, length).map_err(|source| Error::Unmap {
            iova,
            length,
            source,
        })
    }

    fn unmap_all(&self) -> Result<u64, Error> {
        let all = self
            .mappings
            .lock()
            .unwrap()
            .iter()
            .map(|(start, (last, ..))| last - start + 1)
            .sum();
        self.mappings.lock().unwrap().clear();
        Ok(all)
    }

    fn iova_ranges(&self) -> Result<IovaRanges, Error> {
        Ok(self.usable.lock().unwrap().clone())
    }

    fn page_sizes(&self) -> Result<u64, Error> {
        Ok(0x1000)
    }

    fn set_dirty_tracking(&self, on: bool) -> Result<(), Error> {
        let late = self
            .call()
            .map_err(|source| Error::DirtyTracking { on, source })?;
        if self.tracking.swap(on, Ordering::Relaxed) != on {
            self.dirty.lock().unwrap().clear();
        }
        late.map_or(Ok(()), |errno| {
            Err(Error::DirtyTracking {
                on,
                source: errno.into(),
            })
        })
    }

    /// Reads dirty pages as the kernel does, up to the first gap. A call that fails has read and
    /// cleared one page.
    fn dirty_pages(&self, range: DirtyRange, clear: bool, bitmap: &mut [u64]) -> Result<(), Error> {
        let answer = self
            .call()
            .and_then(|late| late.map_or(Ok(()), |errno| Err(errno.into())));
        let most = if answer.is_ok() { usize::MAX } else { 1 };
        self.read_dirty(range.iova, range.length, clear, most, bitmap);
        answer.map_err(|source| Error::DirtyPages {
            iova: range.iova,
            length: range.length,
            page_size: range.page_size,
            source,
        })
    }

    fn unmap_dirty(&self, range: DirtyRange, bitmap: &mut [u64]) -> Result<u64, Error> {
        if !self.tracking.load(Ordering::Relaxed) {
            return Err(Error::NotTracking);
        }
        let mut dirty = vec![0; bitmap.len()];
        self.read_dirty(range.iova, range.length, false, usize::MAX, &mut dirty);
        let unmapped = self.unmap(range.iova, range.length)?;
        for (to, word) in bitmap.iter_mut().zip(dirty) {
            *to |= word;
        }
        Ok(unmapped)
    }

    fn ioas(&self) -> Option<&Arc<passthru_iommufd::Ioas>> {
        None
    }
}
