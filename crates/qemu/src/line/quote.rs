//! Quoting for a POSIX shell.

/// Quotes the first word of a command. A shell takes a word with `=` for a variable.
pub(super) fn quote_program(word: &str) -> String {
    if word.contains('=') {
        single_quoted(word)
    } else {
        quote(word)
    }
}

/// Quotes a word, unless a shell reads the word as it is.
pub(super) fn quote(word: &str) -> String {
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    single_quoted(word)
}

fn is_plain(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-_=+:,./@%".contains(char)
}

fn single_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
