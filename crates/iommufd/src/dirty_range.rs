//! [`DirtyRange`]: IOVAs whose dirty pages are read.

/// A range of IOVAs whose dirty pages are read into a bitmap.
///
/// The bitmap consists of words of 64 bits. Bit i % 64 of word i / 64 stands for the page at
/// `iova` + i × `page_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyRange {
    /// First IOVA, a multiple of `page_size`.
    pub iova: u64,
    /// Length in bytes, a multiple of `page_size` above 0.
    pub length: u64,
    /// Bytes that one bit stands for, a power of two.
    pub page_size: u64,
}

impl DirtyRange {
    /// Returns the range of `length` bytes from `iova` on, by pages of `page_size` bytes.
    pub const fn new(iova: u64, length: u64, page_size: u64) -> Self {
        Self {
            iova,
            length,
            page_size,
        }
    }

    /// Returns the number of pages, which is also the number of bits that a bitmap needs.
    ///
    /// Returns `None` if the length is not a multiple of the page size above 0, or the page size
    /// is not a power of two. Does not check the first IOVA.
    pub fn pages(&self) -> Option<u64> {
        let is_whole = self.page_size.is_power_of_two()
            && self.length > 0
            && self.length.is_multiple_of(self.page_size);
        is_whole.then(|| self.length / self.page_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_are_counted() {
        assert_eq!(DirtyRange::new(0x1000, 0x41000, 0x1000).pages(), Some(65));
        assert_eq!(DirtyRange::new(0, 0, 0x1000).pages(), None);
        assert_eq!(DirtyRange::new(0, 0x1000, 0).pages(), None);
        assert_eq!(DirtyRange::new(0, 0x3000, 0x3000).pages(), None);
        assert_eq!(DirtyRange::new(0, 0x1800, 0x1000).pages(), None);
    }
}
