//! Parsing of a document: the domain as far as it can be read, with all errors and notes.

use std::ops::Range;

use roxmltree::{Document, Node};

use crate::bounded::{Bounded, Positioned};
use crate::error::{Error, Errors, Note};
use crate::model::backend::Backend;
use crate::model::domain::{Domain, VirtType};
use crate::platform::Platform;
use crate::validate;
use crate::xml::findings::Findings;
use crate::xml::limits;
use crate::xml::reader;
use crate::xml::span::SourceSpan;
use crate::xml::syntax::syntax_error;

/// A domain as far as its document could be read.
#[derive(Clone, Debug)]
pub struct ParsedDomain {
    /// The domain, without the parts that could not be read.
    pub domain: Domain,
    /// Errors in the text, by position: the first 1,000.
    pub errors: Vec<Error>,
    /// Number of further errors.
    pub more_errors: usize,
    /// Notes on settings without effect, by position: the first 1,000.
    pub notes: Vec<Note>,
    /// Number of further notes.
    pub more_notes: usize,
    parts: Parts,
}

/// Result of completing and validating a [`ParsedDomain`]. [`Examination::check`] adds the errors
/// of later stages.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// Errors, by position: the first 1,000.
    pub errors: Vec<Error>,
    /// Number of further errors.
    pub more_errors: usize,
    /// Notes on settings without effect or with surprising effects: the first 1,000.
    pub notes: Vec<Note>,
    /// Number of further notes.
    pub more_notes: usize,
    /// The domain, completed as far as possible; `None` if its machine is not known.
    pub domain: Option<Domain>,
    parts: Parts,
}

impl Domain {
    /// Reads a domain.
    ///
    /// # Errors
    /// All parts of the text that are not well-formed, unknown or out of range, each with its
    /// position.
    pub fn parse(xml: &str) -> Result<Self, Errors> {
        ParsedDomain::parse(xml)?.into_domain()
    }

    /// Reads the domain of a running guest, as [`Domain::format_running`] writes it.
    ///
    /// # Errors
    /// Those of [`Domain::parse`].
    pub fn parse_running(xml: &str) -> Result<Self, Errors> {
        ParsedDomain::parse_as(xml, true)?.into_domain()
    }
}

impl ParsedDomain {
    /// Reads a document as far as possible.
    ///
    /// # Errors
    /// - If the text is not well-formed XML, the first syntax error.
    /// - If the text is larger than any domain, an error that gives the limit.
    /// - If the root is not `<domain>`, an error that names the root.
    pub fn parse(xml: &str) -> Result<Self, Error> {
        Self::parse_as(xml, false)
    }

    /// Reads a document. With `is_running`, it is that of a running guest.
    fn parse_as(xml: &str, is_running: bool) -> Result<Self, Error> {
        limits::check(xml)?;
        let document = Document::parse(xml).map_err(|error| syntax_error(xml, &error))?;
        let root = document.root_element();
        check_root(root)?;
        let mut findings = Findings::default();
        let mut domain = Domain::default();
        reader::read_as(root, xml, &mut domain, &mut findings, is_running);
        findings.errors.sort();
        findings.notes.sort();
        let (errors, more_errors) = findings.errors.into_parts();
        let (notes, more_notes) = findings.notes.into_parts();
        let mut parts = Parts::new(root);
        parts.note_faulty(&errors);
        if more_errors > 0 {
            // The positions of the errors beyond the last kept one are not known.
            let last = errors.last().and_then(Positioned::start);
            parts.faulty.extend(last.map(|start| start..xml.len()));
        }

        // The machine decides on all other parts.
        if !domain.has_machine_type() {
            parts.note_all_faulty();
        }

        Ok(Self {
            domain,
            errors,
            more_errors,
            notes,
            more_notes,
            parts,
        })
    }

    /// Returns the domain.
    ///
    /// # Errors
    /// All errors in the text.
    pub fn into_domain(self) -> Result<Domain, Errors> {
        Errors::check(Bounded::new(self.errors, self.more_errors))?;
        Ok(self.domain)
    }

    /// Completes and validates the domain as far as it was read, and returns all errors and notes.
    /// Devices whose XML names no backend get `backend`, if there is one.
    ///
    /// Elements with errors in the text get no further errors, since those may only follow from the
    /// first ones.
    pub fn examine(mut self, platform: &dyn Platform, backend: Option<Backend>) -> Examination {
        // A missing type is an error already. With KVM, none follows from it.
        self.domain.kind.get_or_insert(VirtType::Kvm);
        let faulty = self.parts.faulty();
        let mut errors = Bounded::new(self.errors, self.more_errors);
        let mut notes = Bounded::new(self.notes, self.more_notes);
        let mut completed = None;
        let faulty_names = self.domain.top_spans.names(|start| faulty.contain(start));
        let tags: Vec<String> = faulty_names
            .iter()
            .take(MAX_FAULTY_NAMES)
            .map(|name| format!("<{name}>"))
            .collect();
        let found = match self.domain.fill(platform) {
            Ok((mut domain, unplaced)) => {
                notes.extend(validate::notes(&domain, &|part| faulty.contain_start(part)));
                if let Some(backend) = backend {
                    domain.set_default_backend(backend);
                }
                let checked = completed.insert(domain).validate(platform);
                let mut found = checked.map_or_else(Errors::into_list, |()| Bounded::default());
                // Errors of the buses come first: they explain why a device has no address.
                found.append(unplaced);
                found
            }
            Err(error) => Errors::from(error).into_list(),
        };
        // An error elsewhere follows if it compares with an element that could not be read.
        let found = independent(found, &faulty)
            .without(|error| tags.iter().any(|tag| error.message.contains(tag)));
        errors.append(found);
        errors.sort();
        let (errors, more_errors) = errors.into_parts();
        let (notes, more_notes) = notes.into_parts();
        Examination {
            errors,
            more_errors,
            notes,
            more_notes,
            domain: completed,
            parts: self.parts,
        }
    }
}

/// Most names of faulty elements that are looked for in errors. `<domain>` has fewer children.
const MAX_FAULTY_NAMES: usize = 100;

/// Number of errors beyond which no later stage runs. Stages expect valid domains, and may take
/// long for a document that is wrong in many places.
const MAX_BEFORE_STAGE: usize = 100;

impl Examination {
    /// Runs a later stage on the domain, and adds its errors. Returns the stage's result if no
    /// stage has found an error.
    ///
    /// Elements that have an error get none of this stage, since that may only follow from the
    /// first one. An error without a position is left out if there is any other.
    pub fn check<T>(&mut self, stage: impl FnOnce(&Domain) -> Result<T, Errors>) -> Option<T> {
        let before = self.errors.len() + self.more_errors;
        if before > MAX_BEFORE_STAGE {
            return None;
        }
        match stage(self.domain.as_ref()?) {
            Ok(result) => (before == 0).then_some(result),
            Err(errors) => {
                self.add(errors);
                None
            }
        }
    }

    /// Returns all errors.
    pub fn into_errors(self) -> Errors {
        let errors = Bounded::new(self.errors, self.more_errors);
        Errors::from_causes(errors, Bounded::default())
    }

    fn add(&mut self, errors: Errors) {
        self.parts.note_faulty(&self.errors);
        let found = independent(errors.into_list(), &self.parts.faulty());
        let mut all = Bounded::new(std::mem::take(&mut self.errors), self.more_errors);
        all.append(found);
        all.sort();
        (self.errors, self.more_errors) = all.into_parts();
    }
}

impl From<Error> for Examination {
    fn from(error: Error) -> Self {
        Self {
            errors: vec![error],
            ..Self::default()
        }
    }
}

/// Returns the errors that are not about a faulty part of the document.
fn independent(errors: Bounded<Error>, faulty: &Ranges) -> Bounded<Error> {
    let (errors, more) = errors.into_parts();
    let mut independent = Bounded::new(Vec::new(), more);
    for error in errors {
        let follows = match &error.span {
            Some(span) => faulty.contain(span.start),
            None => !faulty.0.is_empty(),
        };
        if !follows {
            independent.push(error);
        }
    }

    independent
}

/// Byte ranges sorted by start, each with the largest end among itself and those before.
struct Ranges(Vec<(usize, usize)>);

impl Ranges {
    fn new(mut ranges: Vec<Range<usize>>) -> Self {
        ranges.sort_by_key(|range| range.start);
        let mut furthest = 0;
        let mut sorted = Vec::with_capacity(ranges.len());
        for range in ranges {
            furthest = furthest.max(range.end);
            sorted.push((range.start, furthest));
        }

        Self(sorted)
    }

    /// Returns whether one of the ranges contains the start of a part of the document.
    fn contain_start(&self, part: &SourceSpan) -> bool {
        part.0.as_ref().is_some_and(|span| self.contain(span.start))
    }

    /// Returns whether one of the ranges contains `offset`.
    fn contain(&self, offset: usize) -> bool {
        let count = self.0.partition_point(|(start, _)| *start <= offset);
        let last = self.0[..count].last();
        last.is_some_and(|(_, end)| offset < *end)
    }
}

fn check_root(root: Node<'_, '_>) -> Result<(), Error> {
    let name = root.tag_name();
    if name.name() == "domain" && name.namespace().is_none() {
        return Ok(());
    }
    let message = format!(
        "the document's root is <{}>, expected <domain>",
        name.name()
    );
    let start = root.range().start;
    Err(Error::new(message).at(start..start + 1))
}

/// The parts of a document, and those with errors.
#[derive(Clone, Debug, Default)]
struct Parts {
    /// Byte range of the root.
    root: Range<usize>,
    /// Byte ranges of the children of `<domain>` and of `<devices>`, by position.
    all: Vec<Range<usize>>,
    /// Byte ranges of the parts with errors.
    faulty: Vec<Range<usize>>,
}

impl Parts {
    fn new(root: Node<'_, '_>) -> Self {
        let mut all = Vec::new();
        for child in root.children() {
            if child.tag_name().name() == "devices" {
                all.extend(child.children().map(|device| device.range()));
            } else {
                all.push(child.range());
            }
        }

        Self {
            root: root.range(),
            all,
            faulty: Vec::new(),
        }
    }

    /// Notes the parts of errors, which are sorted by position, as faulty. Of the tags of
    /// `<domain>` and `<devices>`, the places of the errors are noted. An error without a position
    /// is about everything.
    fn note_faulty(&mut self, errors: &[Error]) {
        if errors.iter().any(|error| error.span.is_none()) {
            self.note_all_faulty();
        }
        let mut parts = self.all.iter().peekable();
        for start in errors.iter().filter_map(Positioned::start) {
            while parts.next_if(|part| part.end <= start).is_some() {}
            let part = match parts.peek() {
                Some(part) if part.contains(&start) => (*part).clone(),
                _ => start..start + 1,
            };
            if self.faulty.last() != Some(&part) {
                self.faulty.push(part);
            }
        }
    }

    fn note_all_faulty(&mut self) {
        self.faulty.push(self.root.clone());
    }

    fn faulty(&self) -> Ranges {
        Ranges::new(self.faulty.clone())
    }
}
