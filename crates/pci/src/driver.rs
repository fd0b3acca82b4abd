//! Rules about the PCI drivers of Linux, by their names.

/// Returns whether a driver is `vfio-pci` or a variant of it, by its name in
/// `/sys/bus/pci/drivers`.
///
/// All variants of Linux 7.3 have names that end with `vfio-pci` or `vfio_pci`.
///
/// ```
/// assert!(passthru_pci::is_vfio_driver("mlx5_vfio_pci"));
/// assert!(!passthru_pci::is_vfio_driver("mlx5_core"));
/// ```
pub fn is_vfio_driver(driver: &str) -> bool {
    driver.replace('-', "_").ends_with("vfio_pci")
}

/// Returns whether an IOMMU group stays viable, so that VFIO can hand it out, while a device of the
/// group is on `driver`.
///
/// Linux 5.19 and later decide by `driver_managed_dma` in `struct pci_driver`. Without that flag,
/// `pci_dma_configure` counts the driver as an owner of the group's DMA. Then
/// `iommu_device_claim_dma_owner` returns `EPERM`. Linux 7.3 sets the flag for:
///
/// - the VFIO drivers;
/// - `pci-stub`, which does nothing with its device;
/// - `pcieport`, the driver of PCIe ports. `shpchp`, another driver of bridges, lacks the flag.
///
/// A device without a driver leaves its group viable too.
pub fn leaves_group_viable(driver: &str) -> bool {
    is_vfio_driver(driver) || matches!(driver, "pci-stub" | "pcieport")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vfio_variants_are_vfio_drivers() {
        for driver in [
            "vfio-pci",
            "hisi_acc_vfio_pci",
            "mlx5_vfio_pci",
            "xe-vfio-pci",
        ] {
            assert!(is_vfio_driver(driver), "{driver}");
        }

        for driver in ["nvme", "pci-stub", "vfio-platform", ""] {
            assert!(!is_vfio_driver(driver), "{driver}");
        }
    }

    #[test]
    fn drivers_with_managed_dma_leave_a_group_viable() {
        for driver in ["vfio-pci", "pci-stub", "pcieport"] {
            assert!(leaves_group_viable(driver), "{driver}");
        }
        for driver in ["e1000", "shpchp", "uio_pci_generic"] {
            assert!(!leaves_group_viable(driver), "{driver}");
        }
    }
}
