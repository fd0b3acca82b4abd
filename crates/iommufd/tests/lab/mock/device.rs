//! The kernel's test device, which is bound to a context and attached from the start.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use passthru_iommufd::{BoundDevice, DmaMemory, FaultAccess, Ioas, Iommufd};
use rustix::io::Result;

use super::{destroy, pair, test};

const CHECK_MAP: u32 = 3;
const MOCK_DOMAIN_REPLACE: u32 = 10;
const MOCK_DOMAIN_FLAGS: u32 = 12;
const DIRTY: u32 = 13;
const TRIGGER_FAULT: u32 = 15;
const CHECK_CACHE: u32 = 16;
const TRIGGER_EVENT: u32 = 17;
const PASID_ATTACH: u32 = 18;
const PASID_REPLACE: u32 = 19;
const PASID_DETACH: u32 = 20;
const PASID_CHECK: u32 = 21;

/// A device whose IOMMU has no dirty tracking.
pub(crate) const NO_DIRTY_TRACKING: u32 = 1;

/// A device that has PASIDs, of 20 bits.
pub(crate) const PASID: u32 = 4;

/// A device that is attached to an address space, or to what took its place, until its last handle
/// is dropped.
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
        let [test_id, hwpt, id] = [answer[0] as u32, (answer[0] >> 32) as u32, answer[1] as u32];
        let context = Arc::clone(ioas.context());
        Ok(Self(Arc::new(Inner {
            context,
            test_id,
            hwpt: hwpt.into(),
            id,
        })))
    }

    /// Attaches it to another address space or page table.
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

    /// Whether the device reaches just this memory at the IOVA.
    pub(crate) fn reaches(&self, iova: u64, memory: &DmaMemory) -> bool {
        let given = [iova, memory.len() as u64, memory.as_ptr() as u64];
        test(&self.0.context, CHECK_MAP, self.hwpt(), &given).is_ok()
    }

    /// Has the device write to some of the pages of 4 KiB from an IOVA on.
    pub(crate) fn write_to(&self, iova: u64, pages: &[u64]) {
        let mut bits = [0_u64; 16];
        pages
            .iter()
            .for_each(|page| bits[*page as usize / 64] |= 1 << (page % 64));
        let given = [0, iova, 16 * 64 * 0x1000, 0x1000, bits.as_ptr() as u64];
        let (answer, _) = test(&self.0.context, DIRTY, self.hwpt(), &given).unwrap();
        assert_eq!(answer[5], pages.len() as u64);
    }

    /// Has the device meet a page that is not there, as the one fault of a group.
    pub(crate) fn fault(&self, pasid: Option<u32>, group: u32, access: FaultAccess, address: u64) {
        let given = [
            pair(self.0.id, pasid.unwrap_or(0)),
            pair(group, access.bits()),
            address,
        ];
        test(&self.0.context, TRIGGER_FAULT, 0, &given).unwrap();
    }

    /// Has the device's IOMMU report an event of the device, which says what the guest knows it by.
    pub(crate) fn event(&self) -> Result<()> {
        test(&self.0.context, TRIGGER_EVENT, 0, &[self.0.id.into()]).map(|_| ())
    }

    /// Whether the device has these cached entries; 0 for one that was invalidated.
    pub(crate) fn has_cached(&self, entries: [u32; 4]) -> bool {
        let is = |(index, entry)| {
            test(
                &self.0.context,
                CHECK_CACHE,
                self.0.id,
                &[pair(index, entry)],
            )
            .is_ok()
        };
        (0..).zip(entries).all(is)
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

    /// Whether a PASID is attached to this page table; 0 for none.
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
