//! The virtual IOMMU of a guest with many CPUs.

use crate::model::device::Iommu;
use crate::model::device::iommu::IommuModel;
use crate::model::domain::Domain;
use crate::model::features::IoapicDriver;
use crate::platform::{Board, Machine};

/// Gives a q35 with more than 255 CPUs an IOMMU in the extended interrupt mode.
///
/// An xAPIC id has 8 bits. Interrupts reach CPUs with larger ids only if an IOMMU remaps the
/// interrupts. The remapping needs an I/O APIC emulated by QEMU.
pub(super) fn fill(domain: &mut Domain, machine: &Machine) {
    if machine.board != Board::Q35 || !domain.needs_eim() {
        return;
    }
    if domain.devices.iommus.is_empty() {
        domain.devices.iommus.push(Iommu {
            model: Some(IommuModel::Intel),
            ..Iommu::default()
        });
    }

    for iommu in &mut domain.devices.iommus {
        if iommu.model == Some(IommuModel::Intel) {
            iommu.driver.get_or_insert_default().eim.get_or_insert(true);
        } else if iommu.model == Some(IommuModel::Amd) {
            iommu
                .driver
                .get_or_insert_default()
                .xtsup
                .get_or_insert(true);
        }
        let remaps = matches!(iommu.model, Some(IommuModel::Intel | IommuModel::Amd));
        if let Some(driver) = iommu.driver.as_mut().filter(|_| remaps) {
            driver.intremap.get_or_insert(true);
        }
    }

    let ioapic = domain
        .features
        .get_or_insert_default()
        .ioapic
        .get_or_insert_default();
    ioapic.driver.get_or_insert(IoapicDriver::Qemu);
}
