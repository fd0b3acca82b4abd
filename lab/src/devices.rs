//! The virtual host's devices, at addresses that are the same at every boot.
//!
//! `cargo xtask lab` builds the machine from these constants. They say nothing about any other
//! machine.

/// NVMe disk for assignment: 64 MiB of known contents ([`NVME_SHA256`]), alone in its IOMMU group.
pub const NVME: &str = "0000:01:00.0";

/// Serial number of [`NVME`].
pub const NVME_SERIAL: &str = "passthru";

/// Size of [`NVME`], in bytes.
pub const NVME_BYTES: u64 = 64 << 20;

/// SHA-256 of the contents of [`NVME`] after each boot.
pub const NVME_SHA256: &str = "d06dedd75d95ad26cd9940b703081920d4874697b08485305a1eb25ed2061314";

/// Intel 82576 network card (`igb`) with SR-IOV: its virtual functions appear at 02:10.0, 02:10.2
/// and so on.
///
/// The card is on a network with one peer, [`PEER`].
pub const IGB: &str = "0000:02:00.0";

/// Address and prefix length for the user of [`IGB`], host or guest.
pub const IGB_ADDRESS: &str = "10.0.3.15/24";

/// Peer on the network of [`IGB`]: a TCP service that echoes, at port [`PEER_PORT`].
pub const PEER: &str = "10.0.3.100";

/// TCP port of [`PEER`].
pub const PEER_PORT: u16 = 7;

/// NVMe disk that the virtual host itself uses: ext4, mounted at [`DATA_MOUNT`].
pub const DATA_NVME: &str = "0000:03:00.0";

/// Mount point of [`DATA_NVME`].
pub const DATA_MOUNT: &str = "/data";

/// Intel 82574L network card (`e1000e`) with the virtual host's default route.
pub const UPLINK: &str = "0000:04:00.0";

/// PCIe-to-PCI bridge above the shared group, and part of that group.
pub const SHARED_BRIDGE: &str = "0000:05:00.0";

/// Function without a driver (`edu`), in one IOMMU group with [`SHARED_COMPANION`].
pub const SHARED_FREE: &str = "0000:06:01.0";

/// Network card (`e1000`) on its host driver, in one IOMMU group with [`SHARED_FREE`].
pub const SHARED_COMPANION: &str = "0000:06:02.0";

/// Second NVMe disk for assignment: empty, with a controller memory buffer of 1 MiB in BAR 2.
pub const CMB_NVME: &str = "0000:07:00.0";

/// Intel 82576 network card with two functions on one bus, each alone in its IOMMU group.
pub const TWO_PORT_NIC: [&str; 2] = ["0000:08:00.0", "0000:08:00.1"];

/// Two NVMe controllers of one subsystem that share one disk, under a multipath head of the kernel.
pub const MULTIPATH_NVME: [&str; 2] = ["0000:09:00.0", "0000:0a:00.0"];

/// Test device (`edu`) that the IOMMU does not cover, hence without an IOMMU group.
pub const NO_IOMMU: &str = "0000:21:00.0";

/// Test device (`edu`) on the root bus, without a driver, whose DMA and interrupts a test controls.
///
/// Its DMA reaches [`EDU_DMA_BITS`] bits of IOVA, and so BARs above 4 GiB too.
pub const EDU: &str = "0000:00:10.0";

/// Width of the IOVAs of [`EDU`], in bits.
pub const EDU_DMA_BITS: u32 = 48;

/// Returns the contents of [`NVME`]: numbers of a 64-bit linear congruential generator, little
/// endian.
#[must_use]
pub fn nvme_contents() -> Vec<u8> {
    let mut state: u64 = 0;
    let words = (0..NVME_BYTES / 8).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state
    });
    words.flat_map(u64::to_le_bytes).collect()
}
