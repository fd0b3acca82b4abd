//! The machine that is measured on.

use std::fs;
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};

/// Reserves huge pages for a gibibyte.
pub(crate) fn reserve_huge_pages() -> Result<()> {
    let path = "/proc/sys/vm/nr_hugepages";
    fs::write(path, "512").context(path)?;
    ensure!(
        fs::read_to_string(path).context(path)?.trim() == "512",
        "there are no 512 huge pages"
    );
    Ok(())
}

/// Prints the head of the document.
pub(crate) fn print() {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = available_parallelism().map_or(1, |count| count.get());
    println!(
        "One run on the virtual host (Linux {}, {processors} processors, software emulation with
an emulated VT-d IOMMU), built with the profile `dist`. All of a table's row is measured in
turns; the figures are medians, and the ratios are the medians of the ratios of one turn.
Emulation makes everything some ten times slower than hardware is: the ratios say more than the
times.

- **ours**: the base container of `passthru-vfio` (`dyn Dma` over an `Ioas`)
- **direct**: the same ioctls, called by nothing in between
- **peers**: vfio-ioctls 0.10 (`VfioIommufd`) with iommufd-ioctls 0.4

Each has a device (NVMe, on vfio-pci) attached while it maps, so that memory is pinned and put
into the page tables of the IOMMU.",
        kernel.trim()
    );
}
