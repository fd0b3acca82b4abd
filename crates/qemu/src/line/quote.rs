//! Quoting for a POSIX shell.

/// Quotes the first word of a line: with a `=` in it a shell takes it for a variable.
pub(super) fn quote_program(word: &str) -> String {
    if word.contains('=') {
        single_quoted(word)
    } else {
        quote(word)
    }
}

/// Quotes a word for a POSIX shell, where it needs it.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+:,./@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    single_quoted(word)
}

fn single_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
