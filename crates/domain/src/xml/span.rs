//! The part of the source text that an element was read from.

use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of the source that an element's start tag covers; `None` if the element was not read from
/// a text.
///
/// Two spans are always equal. A comparison of two domains thus ignores where their elements stood.
#[derive(Clone, Debug, Default)]
pub struct SourceSpan(pub Option<Range<usize>>);

impl PartialEq for SourceSpan {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SourceSpan {}

/// Source positions of the elements below the root, by name.
///
/// The name of a child of the root is that of its tag, as `cputune`. A child of such an element has
/// both names, as `os/smbios`. If several elements have a name, the position is that of the first.
/// Two maps are always equal, as two [`SourceSpan`]s are.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopSpans(BTreeMap<String, Range<usize>>);

impl TopSpans {
    /// Adds the position of an element, unless an earlier element has the name.
    pub(super) fn add(&mut self, name: String, position: impl FnOnce() -> Range<usize>) {
        self.0.entry(name).or_insert_with(position);
    }

    /// Returns whether the document has an element of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the names of the children of the root whose start is at an offset that `is_wanted`.
    pub(crate) fn names(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<&str> {
        let children = self.0.iter().filter(|(name, _)| !name.contains('/'));
        let wanted = children.filter(|(_, span)| is_wanted(span.start));
        wanted.map(|(name, _)| name.as_str()).collect()
    }

    /// Returns the position of an element, or else that of the element around it.
    pub(crate) fn get(&self, name: &str) -> Option<Range<usize>> {
        let own = self.0.get(name);
        own.or_else(|| self.0.get(name.split_once('/')?.0)).cloned()
    }
}

impl PartialEq for TopSpans {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
