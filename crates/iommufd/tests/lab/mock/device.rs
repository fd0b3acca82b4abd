//! The kernel's test device, which is bound to a context and attached from the start.

use super::{destroy, pair, test};
use passthru_iommufd::{BoundDevice, DmaMemory, Ioas, Iommufd};
use rustix::io::Result;
use std::sync::Arc;

const CHECK_MAP: u32 = 3;
const MOCK_DOMAIN_REPLACE: u32 = 10;
const MOCK_DOMAIN_FLAGS: u32 = 12;
const DIRTY: u32 = 13;

/// A device whose IOMMU has no dirty tracking.
pub(crate) const NO_DIRTY_TRACKING: u32 = 1;

/// A device that is attached to an address space, or to what took its place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Device {
    context: Arc<Iommufd>,
    test_id: u32,
    hwpt: u32,
    id: u32,
}

impl BoundDevice for Device {
    fn context(&self) -> &Arc<Iommufd> {
        &self.context
    }

    fn id(&self) -> u32 {
        self.id
    }
}

impl Device {
    pub(crate) fn attach(ioas: &Ioas) -> Result<Self> {
        Self::with(ioas, 0)
    }

    pub(crate) fn with(ioas: &Ioas, flags: u32) -> Result<Self> {
        let (answer, _) = test(ioas.context(), MOCK_DOMAIN_FLAGS, ioas.id(), &[0, pair(0, flags)])?;
        let [test_id, hwpt, id] = [answer[0] as u32, (answer[0] >> 32) as u32, answer[1] as u32];
        Ok(Self { context: Arc::clone(ioas.context()), test_id, hwpt, id })
    }

    /// Attaches it to another address space or page table.
    pub(crate) fn replace(&mut self, id: u32) -> Result<()> {
        let (answer, _) = test(&self.context, MOCK_DOMAIN_REPLACE, self.test_id, &[id.into()])?;
        self.hwpt = answer[0] as u32;
        Ok(())
    }

    /// Whether the device reaches just this memory at the IOVA.
    pub(crate) fn reaches(&self, iova: u64, memory: &DmaMemory) -> bool {
        let given = [iova, memory.len() as u64, memory.as_ptr() as u64];
        test(&self.context, CHECK_MAP, self.hwpt, &given).is_ok()
    }

    /// Has the device write to some of the pages of 4 KiB from an IOVA on.
    pub(crate) fn write_to(&self, iova: u64, pages: &[u64]) {
        let mut bits = [0_u64; 16];
        pages.iter().for_each(|page| bits[*page as usize / 64] |= 1 << (page % 64));
        let given = [0, iova, 16 * 64 * 0x1000, 0x1000, bits.as_ptr() as u64];
        let (answer, _) = test(&self.context, DIRTY, self.hwpt, &given).unwrap();
        assert_eq!(answer[5], pages.len() as u64);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        destroy(&self.context, self.test_id).unwrap();
    }
}
