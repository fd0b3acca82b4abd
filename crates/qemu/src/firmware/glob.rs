//! Patterns of machine types.

/// Returns whether a text matches a glob pattern: `*` is any text, `?` one character.
///
/// Those are the patterns of GLib's `g_pattern_match_simple`, which libvirt uses.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let mut at = 0;
    let mut read = 0;
    // Position after the last `*`, and the position in the text up to which that `*` reaches.
    let mut last_star = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                last_star = Some((at, read));
            }
            Some(c) if *c == '?' || Some(c) == text.get(read) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after, reach)) = last_star else {
                    return false;
                };
                at = after;
                read = reach + 1;
                last_star = Some((after, read));
            }
        }
    }

    pattern.iter().skip(at).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn star_is_any_text_and_question_mark_one_character() {
        assert!(matches("pc-q35-*", "pc-q35-7.2"));
        assert!(matches("*", ""));
        assert!(matches("pc-*-7.?", "pc-i440fx-7.2"));
        assert!(matches("*a*b", "xaxbxb"));
        assert!(matches("microvm", "microvm"));
        for (pattern, text) in [
            ("pc-q35-*", "pc-i440fx-7.2"),
            ("pc-q35-?", "pc-q35-"),
            ("microvm", "microvm2"),
            ("*a*b", "xaxbxc"),
            ("", "x"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
