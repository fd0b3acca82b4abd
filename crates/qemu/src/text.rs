//! Escaping of untrusted text for a terminal.

/// Largest number of characters of untrusted text that an error shows.
pub const MOST_SHOWN: usize = 200;

/// Returns at most `limit` characters of a text, escaped for a terminal. A text that is cut ends
/// in `…`.
///
/// Characters that a terminal acts on or hides are escaped as in Rust's `escape_debug`. They are C0
/// and C1 controls, and marks that change the direction of text.
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

/// Returns the start of bytes that should be text, escaped for a terminal.
pub(crate) fn printable_bytes(bytes: &[u8]) -> String {
    // A character has four bytes at most.
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
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(printable("äöü", 3), "äöü");
        assert_eq!(printable("äöüx", 3), "äöü…");
        let shown = printable_bytes(&vec![0xff; 1 << 20]);
        assert_eq!(shown.chars().count(), MOST_SHOWN + 1);
    }
}
