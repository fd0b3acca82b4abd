//! Fields of structs that the kernel wrote to a buffer.
//!
//! An older kernel writes a shorter struct. Fields past its end read as zero.

/// Returns the 32-bit field at an offset in bytes.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes(array_at(bytes, offset))
}

/// Returns the 64-bit field at an offset in bytes.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_ne_bytes(array_at(bytes, offset))
}

/// Returns the `N` bytes at an offset; bytes past the end are zero.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    let field = bytes.get(offset..).unwrap_or_default();
    for (to, from) in array.iter_mut().zip(field) {
        *to = *from;
    }
    array
}

/// Returns numbers as bytes in the byte order of this machine.
pub(crate) fn to_native_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Returns numbers as little-endian bytes, the order of an Arm SMMUv3.
pub(crate) fn to_little_endian_bytes(words: &[u64]) -> impl Iterator<Item = u8> {
    words.iter().flat_map(|word| word.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_past_the_end_is_zero() {
        let bytes = to_native_bytes(&[0x1122_3344_5566_7788]);
        assert_eq!(u64_at(&bytes, 0), 0x1122_3344_5566_7788);
        assert_eq!(u64_at(&bytes[..4], 0), u64::from(u32_at(&bytes, 0)));
        assert_eq!(u32_at(&bytes, 8), 0);
        assert_eq!(u32_at(&bytes, usize::MAX), 0);
    }
}
