//! A document as it was read: as much of its domain as can be had, and all that is to be said of
//! it.

use crate::bounded::{Bounded, Placed};
use crate::error::{Error, Errors, Note};
use crate::model::domain::Domain;
use crate::platform::Platform;
use crate::xml::limits;
use crate::xml::reader::{self, Findings};
use roxmltree::{Document, Node};
use std::ops::Range;

/// What was read of a document.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The domain; what could not be read is left out of it.
    pub domain: Domain,
    /// What is wrong with the text, in its order: the first 1,000 errors.
    pub errors: Vec<Error>,
    /// Number of further errors.
    pub more_errors: usize,
    /// What is read without effect, in the order of the text: the first 1,000 notes.
    pub notes: Vec<Note>,
    /// Number of further notes.
    pub more_notes: usize,
    /// The elements with errors: children of `<domain>` and of `<devices>`, in their order.
    faulty: Vec<Range<usize>>,
}

/// All that is to be said of a domain.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// What is wrong: the first 1,000 errors.
    pub errors: Vec<Error>,
    /// Number of further errors.
    pub more_errors: usize,
    /// What is not wrong, but may surprise: the first 1,000 notes.
    pub notes: Vec<Note>,
    /// Number of further notes.
    pub more_notes: usize,
    /// The completed domain, where it could be completed.
    pub domain: Option<Domain>,
}

impl Reading {
    /// Reads a document.
    ///
    /// # Errors
    /// Where the document is no XML, is larger than any domain, or is another document.
    pub fn of(xml: &str) -> Result<Self, Error> {
        limits::check(xml)?;
        let document = Document::parse(xml).map_err(|e| not_xml(xml, &e))?;
        let root = document.root_element();
        if root.tag_name().name() != "domain" || root.tag_name().namespace().is_some() {
            let message = format!(
                "the document's root is <{}>, expected <domain>",
                root.tag_name().name()
            );
            return Err(Error::new(message).at(root.range().start..root.range().start + 1));
        }
        let mut found = Findings::default();
        let mut domain = Domain::default();
        reader::read(root, xml, &mut domain, &mut found);
        let Findings {
            mut errors,
            mut notes,
        } = found;
        errors.sort();
        notes.sort();
        let (errors, more_errors) = errors.into_parts();
        let (notes, more_notes) = notes.into_parts();
        let mut faulty = faulty(root, &errors);
        if more_errors > 0 {
            // Which elements hold the errors that were only counted is not known.
            faulty.extend(
                errors
                    .last()
                    .and_then(Placed::start)
                    .map(|last| last..xml.len()),
            );
        }
        Ok(Self {
            domain,
            errors,
            more_errors,
            notes,
            more_notes,
            faulty,
        })
    }

    /// Returns the domain.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn into_domain(self) -> Result<Domain, Errors> {
        Errors::none_of(Bounded::new(self.errors, self.more_errors)).map(|()| self.domain)
    }

    /// Completes and validates the domain as far as it was read, and returns all that is wrong with
    /// it. Of elements that have errors already nothing more is said: it may only follow from them.
    pub fn examine(self, platform: &dyn Platform) -> Examination {
        let mut errors = Bounded::new(self.errors, self.more_errors);
        let mut notes = Bounded::new(self.notes, self.more_notes);
        let (completed, found) = match self.domain.complete(platform) {
            Ok(domain) => {
                let found = domain.validate(platform);
                notes.extend(domain.notes());
                (Some(domain), found)
            }
            Err(found) => (None, Err(found)),
        };
        let faulty = Parts::new(self.faulty);
        let (found, more) = found
            .err()
            .map(Errors::into_list)
            .unwrap_or_default()
            .into_parts();
        for error in found {
            let independent = match &error.span {
                Some(span) => !faulty.contain(span.start),
                None => faulty.0.is_empty(),
            };
            if independent {
                errors.push(error);
            }
        }
        errors.append(Bounded::new(Vec::new(), more));
        errors.sort();
        let (errors, more_errors) = errors.into_parts();
        let (notes, more_notes) = notes.into_parts();
        Examination {
            errors,
            more_errors,
            notes,
            more_notes,
            domain: completed,
        }
    }
}

/// Parts of a document, sorted by their starts, each with the furthest end up to it.
struct Parts(Vec<(usize, usize)>);

impl Parts {
    fn new(mut parts: Vec<Range<usize>>) -> Self {
        parts.sort_by_key(|part| part.start);
        let mut furthest = 0;
        let sorted = parts.into_iter().map(|part| {
            furthest = furthest.max(part.end);
            (part.start, furthest)
        });
        Self(sorted.collect())
    }

    /// Returns whether a place is in one of the parts.
    fn contain(&self, place: usize) -> bool {
        let before = self.0.partition_point(|(start, _)| *start <= place);
        before
            .checked_sub(1)
            .and_then(|n| self.0.get(n))
            .is_some_and(|(_, end)| place < *end)
    }
}

/// Returns the children of `<domain>` and of `<devices>` that hold an error. An error of the root
/// itself makes the whole document faulty.
fn faulty(root: Node<'_, '_>, errors: &[Error]) -> Vec<Range<usize>> {
    let parts = root
        .children()
        .flat_map(|part| match part.tag_name().name() {
            "devices" => part.children().collect(),
            _ => vec![part],
        });
    let mut parts = parts.map(|part| part.range()).peekable();
    let mut faulty: Vec<Range<usize>> = Vec::new();
    for start in errors.iter().filter_map(|e| Some(e.span.as_ref()?.start)) {
        while parts.peek().is_some_and(|part| part.end <= start) {
            parts.next();
        }
        let part = parts
            .peek()
            .filter(|part| part.contains(&start))
            .cloned()
            .unwrap_or(root.range());
        if faulty.last() != Some(&part) {
            faulty.push(part);
        }
    }
    faulty
}

fn not_xml(xml: &str, error: &roxmltree::Error) -> Error {
    let position = error.pos();
    let line_start: usize = xml
        .split_inclusive('\n')
        .take(position.row.saturating_sub(1) as usize)
        .map(str::len)
        .sum();
    let line = &xml[line_start..];
    let column = line
        .char_indices()
        .nth(position.col.saturating_sub(1) as usize)
        .map_or(line.len(), |(at, _)| at);
    let at = (line_start + column).min(xml.len());
    // roxmltree ends its message with the position, which the place says already.
    let text = error.to_string();
    let text = text
        .strip_suffix(&format!(" at {position}"))
        .unwrap_or(&text);
    Error::new(format!("not well-formed XML: {text}")).at(at..(at + 1).min(xml.len()))
}
