//! The kernel's mock device, bound to a context and attached from the start.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use passthru_iommufd::{BoundDevice, DmaMemory, FaultAccess, Ioas, Iommufd};
use rustix::io::Result;

use super::kernel_test::{DIRTY, MOCK_DOMAIN_FLAGS, test};
use super::{destroy, pair};

const CHECK_MAP: u32 = 3;
const MOCK_DOMAIN_REPLACE: u32 = 10;
const TRIGGER_FAULT: u32 = 15;
const CHECK_CACHE: u32 = 16;
const TRIGGER_EVENT: u32 = 17;
const PASID_ATTACH: u32 = 18;
const PASID_REPLACE: u32 = 19;
const PASID_DETACH: u32 = 20;
const PASID_CHECK: u32 = 21;

/// Flag: the device's IOMMU has no dirty tracking.
pub(crate) const NO_DIRTY_TRACKING: u32 = 1;

/// Flag: the device has PASIDs of 20 bits.
pub(crate) const PASID: u32 = 4;

/// A device that stays attached until its last handle is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Device(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Arc<Iommufd>,
    test_id: u32,
    hwpt: AtomicU32,
    id: u32,
}

impl BoundDevice for Device {
    fn context(&self) -> &Arc<Iommufd> {
        &self.0.context
    }

    fn id(&self) -> u32 {
        self.0.id
    }

    fn binding(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(&self.0) as _
    }
}

impl Device {
    pub(crate) fn attach(ioas: &Ioas) -> Result<Self> {
        Self::with(ioas, 0)
    }

    pub(crate) fn with(ioas: &Ioas, flags: u32) -> Result<Self> {
        let (answer, _) = test(
            ioas.context(),
            MOCK_DOMAIN_FLAGS,
            ioas.id(),
            &[0, pair(0, flags)],
        )?;
        let hwpt = (answer[0] >> 32) as u32;
        Ok(Self(Arc::new(Inner {
            context: Arc::clone(ioas.context()),
            test_id: answer[0] as u32,
            hwpt: hwpt.into(),
            id: answer[1] as u32,
        })))
    }

    /// Attaches the device to another I/O address space or page table.
    pub(crate) fn replace(&self, id: u32) -> Result<()> {
        let (answer, _) = test(
            &self.0.context,
            MOCK_DOMAIN_REPLACE,
            self.0.test_id,
            &[id.into()],
        )?;
        self.0.hwpt.store(answer[0] as u32, Ordering::Relaxed);
        Ok(())
    }

    fn hwpt(&self) -> u32 {
        self.0.hwpt.load(Ordering::Relaxed)
    }

    /// Returns whether the device reaches exactly this memory at the IOVA.
    pub(crate) fn reaches(&self, iova: u64, memory: &DmaMemory) -> bool {
        let given = [iova, memory.len() as u64, memory.as_ptr() as u64];
        test(&self.0.context, CHECK_MAP, self.hwpt(), &given).is_ok()
    }

    /// Makes the device write to some of the pages of 4 KiB from an IOVA on.
    pub(crate) fn write_to(&self, iova: u64, pages: &[u64]) {
        let mut bits = [0_u64; 16];
        for page in pages {
            bits[*page as usize / 64] |= 1 << (page % 64);
        }
        let given = [0, iova, 16 * 64 * 0x1000, 0x1000, bits.as_ptr() as u64];
        let (answer, _) = test(&self.0.context, DIRTY, self.hwpt(), &given).unwrap();
        assert_eq!(answer[5], pages.len() as u64);
    }

    /// Makes the device fault on a page, as the only fault of its group.
    pub(crate) fn fault(&self, pasid: Option<u32>, group: u32, access: FaultAccess, address: u64) {
        let given = [
            pair(self.0.id, pasid.unwrap_or(0)),
            pair(group, access.bits()),
            address,
        ];
        test(&self.0.context, TRIGGER_FAULT, 0, &given).unwrap();
    }

    /// Makes the IOMMU report an event of the device, which carries the guest's id of the device.
    pub(crate) fn event(&self) -> Result<()> {
        test(&self.0.context, TRIGGER_EVENT, 0, &[self.0.id.into()]).map(|_| ())
    }

    /// Returns whether the device has these cached entries; 0 stands for an invalidated one.
    pub(crate) fn has_cached(&self, entries: [u32; 4]) -> bool {
        (0..).zip(entries).all(|(index, entry)| {
            let given = [pair(index, entry)];
            test(&self.0.context, CHECK_CACHE, self.0.id, &given).is_ok()
        })
    }

    pub(crate) fn attach_pasid(&self, pasid: u32, id: u32) -> Result<()> {
        test(
            &self.0.context,
            PASID_ATTACH,
            self.0.test_id,
            &[pair(pasid, id)],
        )
        .map(|_| ())
    }

    pub(crate) fn replace_pasid(&self, pasid: u32, id: u32) -> Result<()> {
        test(
            &self.0.context,
            PASID_REPLACE,
            self.0.test_id,
            &[pair(pasid, id)],
        )
        .map(|_| ())
    }

    pub(crate) fn detach_pasid(&self, pasid: u32) {
        test(
            &self.0.context,
            PASID_DETACH,
            self.0.test_id,
            &[pasid.into()],
        )
        .unwrap();
    }

    /// Returns whether a PASID is attached to this page table; 0 stands for none.
    pub(crate) fn pasid_is_at(&self, pasid: u32, hwpt: u32) -> bool {
        test(
            &self.0.context,
            PASID_CHECK,
            self.0.test_id,
            &[pair(pasid, hwpt)],
        )
        .is_ok()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        destroy(&self.context, self.test_id).unwrap();
    }
}
