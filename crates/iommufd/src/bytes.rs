//! Fields of structs that the kernel wrote to a buffer. What an older kernel does not write is
//! zero.

/// Returns the field of 32 bits at an offset.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes(array_at(bytes, offset))
}

/// Returns the field of 64 bits at an offset.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_ne_bytes(array_at(bytes, offset))
}

/// Returns the bytes at an offset, zeros past the end.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    let there = bytes.get(offset..).unwrap_or_default();
    array
        .iter_mut()
        .zip(there)
        .for_each(|(to, from)| *to = *from);
    array
}

/// Returns numbers as the bytes that they are in memory.
pub(crate) fn native(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Returns numbers as the bytes that an Arm SMMUv3 has them in, whatever the machine.
pub(crate) fn little_endian(words: &[u64]) -> impl Iterator<Item = u8> {
    words.iter().flat_map(|word| word.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_zero() {
        let bytes = native(&[0x1122_3344_5566_7788]);
        assert_eq!(u64_at(&bytes, 0), 0x1122_3344_5566_7788);
        assert_eq!(u64_at(&bytes[..4], 0), u64::from(u32_at(&bytes, 0)));
        assert_eq!((u32_at(&bytes, 8), u32_at(&bytes, usize::MAX)), (0, 0));
    }
}
