//! A domain XML document, kept so that messages can point at places in it.

use std::borrow::Cow;
use std::fmt;

use passthru_domain::Passwords;

/// A document with the name under which messages show it.
#[derive(Clone)]
pub(crate) struct Document {
    name: String,
    text: String,
    passwords: Passwords,
    /// The text for messages, if it differs.
    masked: Option<String>,
}

impl Document {
    pub(crate) fn new(name: String, text: String) -> Self {
        let passwords = Passwords::find(&text);
        let masked = passwords.mask(&text);
        Self {
            name,
            text,
            passwords,
            masked,
        }
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

    /// Returns a message about the document, in which quoted passwords are masked.
    pub(crate) fn hide<'a>(&self, message: &'a str) -> Cow<'a, str> {
        self.passwords.hide(message)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_not_shown() {
        let text = "<a passwd='velvet' b='velvet'/>";
        let document = Document::new("vm.xml".into(), text.into());
        assert_eq!(document.text(), text);
        assert_eq!(document.shown(), "<a passwd='******' b='velvet'/>");
        assert_eq!(document.hide("'b' is 'velvet'"), "'b' is '******'");

        let debugged = format!("{document:?}");
        assert!(!debugged.contains("velvet"), "{debugged}");
    }
}
