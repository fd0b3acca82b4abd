//! Text of strangers, made fit to be shown on a terminal.

/// Characters of a stranger's text that an error shows.
pub const MOST_SHOWN: usize = 200;

/// Returns at most `limit` characters of a text, with those that a terminal would act on or hide
/// escaped as Rust escapes them (C0 and C1 controls, and marks that turn the direction of text). A
/// text that is cut ends in `…`.
pub fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        match char {
            '\'' | '"' | '\\' => shown.push(char),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

/// Shows the start of bytes that should have been text.
pub(crate) fn printable_bytes(bytes: &[u8]) -> String {
    // No character has more than four bytes.
    let start = bytes.get(..MOST_SHOWN * 4 + 4).unwrap_or(bytes);
    printable(&String::from_utf8_lossy(start), MOST_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let text = "a\x1b[2J\u{9b}31m\x07\u{202e}b\r\n\"Geräte\" \\ 'x'";
        let shown = r#"a\u{1b}[2J\u{9b}31m\u{7}\u{202e}b\r\n"Geräte" \ 'x'"#;
        assert_eq!(printable(text, 200), shown);
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(printable("äöü", 3), "äöü");
        assert_eq!(printable("äöüx", 3), "äöü…");
        let shown = printable_bytes(&vec![0xff; 1 << 20]);
        assert_eq!(shown.chars().count(), MOST_SHOWN + 1);
    }
}
