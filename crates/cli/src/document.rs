//! A domain XML document, kept so that messages can point at places in it.

/// A document with the name under which messages show it.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    name: String,
    text: String,
}

impl Document {
    pub(crate) fn new(name: String, text: String) -> Self {
        Self { name, text }
    }

    /// Returns the path of the document's file, or `<stdin>`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
