//! Chains of capabilities at the end of the kernel's replies (`struct vfio_info_cap_header`).
//!
//! The kernel is trusted, but drivers behind it can be foreign. So nothing here reads outside of a
//! reply, or follows a loop.

/// One capability of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capability<'a> {
    /// Kind of the capability, within its reply.
    pub(crate) id: u16,
    /// Version of the layout.
    pub(crate) version: u16,
    /// Bytes behind the header, up to the next capability or to the end of the reply.
    pub(crate) data: &'a [u8],
}

/// A fault of a chain of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadCapability {
    /// A header is not aligned to 4 bytes.
    #[error("a capability at offset {0:#x} is not aligned")]
    Misaligned(u32),
    /// A header is outside of the reply.
    #[error("a capability at offset {0:#x} is outside of the reply")]
    Outside(u32),
    /// A header points to itself or backwards, so the chain would not end.
    #[error("a capability at offset {0:#x} points backwards")]
    Backwards(u32),
    /// A capability is too short for its contents, or has impossible ones.
    #[error("capability {0} has invalid contents")]
    Contents(u16),
}

const HEADER: usize = 8;

/// Reads the chain that begins at an offset of a reply; 0 stands for an empty chain.
pub(crate) fn chain(reply: &[u8], first: u32) -> Result<Vec<Capability<'_>>, BadCapability> {
    let mut found = Vec::new();
    let mut at = first;
    while at != 0 {
        let (capability, next) = read_one(reply, at)?;
        found.push(capability);
        at = next;
    }

    Ok(found)
}

/// Reads the capability at an offset, and the offset of the next one.
fn read_one(reply: &[u8], at: u32) -> Result<(Capability<'_>, u32), BadCapability> {
    if !at.is_multiple_of(4) {
        return Err(BadCapability::Misaligned(at));
    }
    let rest = reply.get(at as usize..).filter(|rest| rest.len() >= HEADER);
    let rest = rest.ok_or(BadCapability::Outside(at))?;
    let next = word(rest, 4).unwrap_or_default();
    let end = match next {
        0 => rest.len(),
        next => next.checked_sub(at).ok_or(BadCapability::Backwards(at))? as usize,
    };
    if end < HEADER {
        return Err(BadCapability::Backwards(at));
    }
    let data = rest.get(HEADER..end).ok_or(BadCapability::Outside(next))?;
    let id_and_version = word(rest, 0).unwrap_or_default().to_ne_bytes();
    let [id0, id1, version0, version1] = id_and_version;
    let capability = Capability {
        id: u16::from_ne_bytes([id0, id1]),
        version: u16::from_ne_bytes([version0, version1]),
        data,
    };
    Ok((capability, next))
}

impl Capability<'_> {
    /// Returns 32 bits of the data, at an offset in bytes.
    pub(crate) fn word(&self, at: usize) -> Result<u32, BadCapability> {
        word(self.data, at).ok_or(BadCapability::Contents(self.id))
    }

    /// Returns 64 bits of the data, at an offset in bytes.
    pub(crate) fn long(&self, at: usize) -> Result<u64, BadCapability> {
        let bytes = at.checked_add(8).and_then(|end| self.data.get(at..end));
        let bytes = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(BadCapability::Contents(self.id))?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a reply of 32 bytes with these capabilities behind it: id, offset of the next one,
    /// data.
    fn reply(capabilities: &[(u16, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 32];
        for (id, next, data) in capabilities {
            bytes.extend(id.to_ne_bytes());
            bytes.extend(1u16.to_ne_bytes());
            bytes.extend(next.to_ne_bytes());
            bytes.extend(*data);
        }

        bytes
    }

    #[test]
    fn chain_is_followed_to_its_end() {
        let bytes = reply(&[(3, 40, &[]), (2, 0, &[7, 0, 0, 0, 9, 0, 0, 0])]);
        let chain = chain(&bytes, 32).unwrap();
        assert_eq!(
            chain.iter().map(|c| (c.id, c.version)).collect::<Vec<_>>(),
            [(3, 1), (2, 1)]
        );
        assert!(chain[0].data.is_empty());
        assert_eq!((chain[1].word(0), chain[1].word(4)), (Ok(7), Ok(9)));
        assert_eq!(chain[1].word(8), Err(BadCapability::Contents(2)));
        assert_eq!(chain[1].long(0), Ok(7 | 9 << 32));
        assert_eq!(chain[1].long(usize::MAX), Err(BadCapability::Contents(2)));
    }

    #[test]
    fn offset_0_is_an_empty_chain() {
        assert_eq!(chain(&[0; 32], 0), Ok(vec![]));
    }

    #[test]
    fn loop_in_a_chain_is_refused() {
        for next in [32, 40, 4] {
            let bytes = reply(&[(1, 40, &[]), (1, next, &[])]);
            assert_eq!(
                chain(&bytes, 32),
                Err(BadCapability::Backwards(40)),
                "{next}"
            );
        }
    }

    #[test]
    fn capability_within_its_own_header_is_refused() {
        assert_eq!(
            chain(&reply(&[(1, 36, &[0; 16])]), 32),
            Err(BadCapability::Backwards(32))
        );
    }

    #[test]
    fn offset_outside_or_misaligned_is_refused() {
        let bytes = reply(&[(1, 0, &[])]);
        assert_eq!(chain(&bytes, 36), Err(BadCapability::Outside(36)));
        assert_eq!(
            chain(&bytes, u32::MAX - 3),
            Err(BadCapability::Outside(u32::MAX - 3))
        );
        assert_eq!(chain(&bytes, 33), Err(BadCapability::Misaligned(33)));
        assert_eq!(
            chain(&reply(&[(1, 4096, &[])]), 32),
            Err(BadCapability::Outside(4096))
        );
    }

    proptest! {
        #[test]
        fn chain_of_any_bytes_ends_inside(
            bytes in prop::collection::vec(any::<u8>(), 0..256), first in 0u32..300,
        ) {
            if let Ok(chain) = chain(&bytes, first) {
                let total: usize = chain.iter().map(|c| c.data.len() + HEADER).sum();
                prop_assert!(total <= bytes.len());
            }
        }

        #[test]
        fn chain_of_small_numbers_ends_inside(
            words in prop::collection::vec(0u32..72, 0..18), first in 0u32..80,
        ) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            if let Ok(chain) = chain(&bytes, first) {
                let total: usize = chain.iter().map(|c| c.data.len() + HEADER).sum();
                prop_assert!(total <= bytes.len());
            }
        }
    }
}
