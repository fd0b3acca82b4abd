//! The controllers of a guest's NVMe disks, which the VMM opens by itself through type1.

use passthru_domain::Domain;
use passthru_pci::Address;

/// A controller whose disk the VMM drives by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NvmeController {
    pub(crate) address: Address,
    /// Disk in words: `disk 'vda'`.
    pub(crate) owner: String,
}

impl NvmeController {
    /// Returns the controllers of a domain's NVMe disks, in the order of the document.
    pub(crate) fn of_domain(domain: &Domain) -> Vec<Self> {
        let mut controllers = Vec::new();
        for function in domain.devices.nvme_functions() {
            controllers.push(Self {
                address: function.address,
                owner: function.owner_name(),
            });
        }

        controllers
    }
}
