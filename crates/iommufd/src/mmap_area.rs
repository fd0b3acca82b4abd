//! [`MmapArea`]: an area of registers that can be mapped.

/// An area that the kernel offers for mmap on the context's descriptor. Only the whole area can be
/// mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmapArea {
    /// Offset for mmap, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}
