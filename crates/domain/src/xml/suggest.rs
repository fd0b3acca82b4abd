//! The known name that is nearest to a misspelt one.

/// Longest word, in bytes, that is compared: the time grows with both words' lengths.
const MAX_WORD: usize = 64;

/// Returns the candidate nearest to `word`; `None` if none is near enough to be meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let limit = (word.len() / 3).max(1);
    let word = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the number of insertions, deletions and replacements between two words (Levenshtein).
///
/// Longer words than any known name are cut, to bound the time that a hostile document can take.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 48;
    let a: Vec<char> = a.chars().take(LONGEST).collect();
    let b: Vec<char> = b.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }

    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_name_finds_the_nearest_known_one() {
        let known = ["hostdev", "controller", "interface", "iommu"];
        assert_eq!(nearest("hostdevs", known), Some("hostdev"));
        assert_eq!(nearest("contoller", known), Some("controller"));
        assert_eq!(nearest("Iommu", known), Some("iommu"));
        assert_eq!(nearest("redirdev", known), None);
        assert_eq!(
            nearest("x", ["2", "3"]),
            None,
            "no letter of the word would be left"
        );
    }
}
