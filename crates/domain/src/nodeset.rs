//! Lists of NUMA nodes or CPUs as text: `0-3,8,^2`.

/// Most that a list can name: more is a slip of the pen.
const MOST: usize = 1 << 14;

/// Returns the members of a list, each once, in their order; nothing where the text is no list.
pub(crate) fn nodes(text: &str) -> Option<Vec<u32>> {
    let mut members = std::collections::BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        if let Some(without) = part.strip_prefix('^') {
            members.remove(&without.parse().ok()?);
            continue;
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || (last - first) as usize >= MOST || members.len() >= MOST {
            return None;
        }
        members.extend(first..=last);
    }
    Some(members.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_single_numbers_and_exceptions() {
        assert_eq!(nodes("0-3,8,^2"), Some(vec![0, 1, 3, 8]));
        assert_eq!(nodes("5"), Some(vec![5]));
        for wrong in ["", "a", "3-1", "1-", "0-4294967295"] {
            assert_eq!(nodes(wrong), None, "{wrong}");
        }
    }
}
