//! A domain XML document, kept so that messages can point at places in it.

use std::fmt;

/// Name of the attribute that holds the password of a screen.
const PASSWORD: &str = "passwd";

/// A document with the name under which messages show it.
#[derive(Clone)]
pub(crate) struct Document {
    name: String,
    text: String,
    /// The text for messages, if it differs.
    masked: Option<String>,
}

impl Document {
    pub(crate) fn new(name: String, text: String) -> Self {
        let masked = masked(&text);
        Self { name, text, masked }
    }

    /// Returns the path of the document's file, or `<stdin>`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text for messages, in which passwords are masked. Each character has its place
    /// in bytes and in characters.
    pub(crate) fn shown(&self) -> &str {
        self.masked.as_ref().unwrap_or(&self.text)
    }
}

/// Shows the name alone: the text can hold passwords.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Returns a text with its passwords masked, or `None` if the text has none.
fn masked(text: &str) -> Option<String> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(PASSWORD) {
        let (before, after) = rest.split_at(at + PASSWORD.len());
        masked.push_str(before);
        rest = after;
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        if let Some(value) = value.filter(|value| value.starts_with(['\'', '"'])) {
            let (quote, value) = value.split_at(1);
            masked.push_str(&after[..after.len() - value.len()]);
            let end = value.find(quote).unwrap_or(value.len());
            masked.extend(value[..end].chars().map(mask));
            rest = &value[end..];
        }
    }

    if masked.is_empty() {
        return None;
    }
    masked.push_str(rest);
    Some(masked)
}

/// Returns a character of as many bytes that stands for one of a password.
const fn mask(of: char) -> char {
    match of.len_utf8() {
        _ if of == '\n' => of,
        1 => '*',
        2 => '\u{b7}',
        3 => '\u{2022}',
        _ => '\u{1f784}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_in_their_places() {
        for (text, shown) in [
            ("<a b='c'/>", "<a b='c'/>"),
            ("<a passwd='velvet' b='c'/>", "<a passwd='******' b='c'/>"),
            ("<a passwd = \"v'v\"/>", "<a passwd = \"***\"/>"),
            ("<a passwd='vé€😀v'/>", "<a passwd='*·•🞄*'/>"),
            ("<a passwd='v\nv'/>", "<a passwd='*\n*'/>"),
            (
                "<a passwdValidTo='2031' passwd=''/>",
                "<a passwdValidTo='2031' passwd=''/>",
            ),
            (
                "passwd='v' passwd='w' passwd",
                "passwd='*' passwd='*' passwd",
            ),
            ("<a passwd='velvet", "<a passwd='******"),
            ("<a passwd='vel b='c'/>", "<a passwd='******'c'/>"),
        ] {
            let document = Document::new("vm.xml".into(), text.into());
            assert_eq!(document.shown(), shown);
            assert_eq!(document.text(), text);
            assert_eq!(document.shown().len(), text.len());
        }
    }
}
