//! The nearest known name to a misspelt one.

/// Bytes of a word that may be a misspelt one: comparing takes time by both lengths.
const MOST_WORD: usize = 64;

/// Returns the candidate nearest to `word`, when it is near enough to be meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > MOST_WORD {
        return None;
    }
    let limit = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                distance(&word.to_ascii_lowercase(), &candidate.to_ascii_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the number of insertions, deletions and replacements between two words (Levenshtein).
/// Words longer than any known name are cut, so that a hostile document costs nothing.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 48;
    let (a, b): (Vec<char>, Vec<char>) = (
        a.chars().take(LONGEST).collect(),
        b.chars().take(LONGEST).collect(),
    );
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
    fn finds_the_misspelt_and_leaves_the_foreign() {
        let known = ["hostdev", "controller", "interface", "iommu"];
        assert_eq!(nearest("hostdevs", known), Some("hostdev"));
        assert_eq!(nearest("contoller", known), Some("controller"));
        assert_eq!(nearest("Iommu", known), Some("iommu"));
        assert_eq!(nearest("redirdev", known), None);
        assert_eq!(nearest("x", ["2", "3"]), None, "nothing is left of it");
    }
}
