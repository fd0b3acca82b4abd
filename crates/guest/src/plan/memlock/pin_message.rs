//! Messages of QEMU about memory that it could not pin.

/// Returns whether a line of QEMU is about memory that the kernel refused to pin.
pub(super) fn is_failed_pin(line: &str) -> bool {
    let is_about_mapping = ["dma_map", "IOMMU_IOAS_MAP", "map_dma"]
        .iter()
        .any(|word| line.contains(word));
    let is_about_memory = line.contains("= -12") || line.contains("Cannot allocate memory");
    is_about_mapping && is_about_memory
}

/// Reads the size from `vfio_container_dma_map(0x…, IOVA, SIZE, …) = -12`.
pub(super) fn size_of_mapping(line: &str) -> Option<u64> {
    let (_, arguments) = line.split_once("dma_map(")?;
    let size = arguments.split(", ").nth(2)?;
    u64::from_str_radix(size.strip_prefix("0x")?, 16).ok()
}
