//! Reads elements from a document, and reports all that is wrong or not understood.

use super::slot::{ManyElements, ManyValues, OneElement, OneValue, RequiredSlot, ValueSlot};
use super::span::SourceSpan;
use super::{Element, Visitor, suggest};
use crate::bounded::Bounded;
use crate::error::{Error, Note, shortened};
use roxmltree::Node;
use std::ops::Range;

/// Reads one element. Errors are collected; a faulty part leaves its slot as it was.
pub(crate) struct Reader<'a, 'input> {
    node: Node<'a, 'input>,
    source: &'input str,
    known_attributes: Vec<&'static str>,
    known_children: Vec<&'static str>,
    text_known: bool,
    /// Whether a value of the element itself could not be read.
    faulty: bool,
    found: Findings,
}

/// Errors of an element beyond which nothing is suggested any more: that takes a while.
const MOST_SUGGESTIONS: usize = 100;

/// Errors of an element beyond which faulty children are not kept: they may be many and large.
const MOST_FAULTY: usize = 1000;

/// What is to be said of a text.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What is wrong.
    pub(crate) errors: Bounded<Error>,
    /// What is read without effect.
    pub(crate) notes: Bounded<Note>,
}

impl Findings {
    fn append(&mut self, other: Self) {
        self.errors.append(other.errors);
        self.notes.append(other.notes);
    }
}

/// Reads `node` into an element, and adds what is to be said of it to `found`.
pub(crate) fn read(
    node: Node<'_, '_>,
    source: &str,
    element: &mut dyn Element,
    found: &mut Findings,
) {
    let mut reader = Reader::new(node, source);
    element.visit(&mut reader);
    reader.report_unknown();
    found.append(reader.found);
}

impl<'a, 'input> Reader<'a, 'input> {
    fn new(node: Node<'a, 'input>, source: &'input str) -> Self {
        let (known_attributes, known_children) = (Vec::new(), Vec::new());
        let (text_known, faulty, found) = (false, false, Findings::default());
        Self {
            node,
            source,
            known_attributes,
            known_children,
            text_known,
            faulty,
            found,
        }
    }

    /// Reads an attribute.
    fn value(&mut self, name: &'static str, slot: &mut dyn ValueSlot) {
        if let Some(attribute) = self.attribute(name)
            && let Err(expected) = slot.read(attribute.value())
        {
            self.wrong_attribute(attribute, &expected);
        }
    }

    /// Reads an element that is the attribute `attr` alone.
    fn word(&mut self, node: Node<'a, 'input>, attr: &'static str, slot: &mut dyn ValueSlot) {
        let mut reader = Reader::new(node, self.source);
        reader.value(attr, slot);
        if node.attribute(attr).is_none() {
            reader.error(format!("<{}> needs the attribute '{attr}'", reader.tag()));
        }
        reader.report_unknown();
        self.found.append(reader.found);
    }

    fn attribute(&mut self, name: &'static str) -> Option<roxmltree::Attribute<'a, 'input>> {
        self.known_attributes.push(name);
        self.node
            .attributes()
            .find(|a| a.namespace().is_none() && a.name() == name)
    }

    fn elements(&mut self, name: &'static str) -> Vec<Node<'a, 'input>> {
        self.known_children.push(name);
        self.node.children().filter(|n| is_named(n, name)).collect()
    }

    /// Returns the only element of that name; each further one is an error.
    fn only(&mut self, name: &'static str) -> Option<Node<'a, 'input>> {
        let all = self.elements(name);
        for again in all.iter().skip(1) {
            let message = format!("<{name}> appears twice in <{}>", self.tag());
            self.found
                .errors
                .push(Error::new(message).at(start_tag(*again, self.source)));
        }
        all.first().copied()
    }

    /// The element's name, as a description has it.
    fn tag(&self) -> String {
        described(self.node)
    }

    /// Notes that a text could not be read as the value of `what`.
    fn wrong_value(&mut self, text: &str, what: &str, at: Range<usize>, expected: &str) {
        self.faulty = true;
        let message = format!("{what} is '{}': {expected}", visible(text));
        self.found.errors.push(Error::new(message).at(at));
    }

    fn wrong_attribute(&mut self, attribute: roxmltree::Attribute<'a, 'input>, expected: &str) {
        let what = format!("'{}' of <{}>", attribute.name(), self.tag());
        self.wrong_value(attribute.value(), &what, attribute.range_value(), expected);
    }

    fn tristate(&mut self, name: &'static str, slot: &mut Option<bool>, [no, yes]: [&str; 2]) {
        let Some(attribute) = self.attribute(name) else {
            return;
        };
        match attribute.value() {
            value if value == yes => *slot = Some(true),
            value if value == no => *slot = Some(false),
            other => {
                let message = format!(
                    "'{name}' of <{}> is '{other}': expected '{yes}' or '{no}'",
                    self.tag()
                );
                self.found
                    .errors
                    .push(Error::new(message).at(attribute.range_value()));
            }
        }
    }

    fn report_unknown(&mut self) {
        for attribute in self.node.attributes() {
            if let Some(namespace) = attribute.namespace() {
                let what = format!("the attribute '{}'", attribute.name());
                self.found
                    .notes
                    .push(foreign(&what, namespace, attribute.range_qname()));
            } else if !self.known_attributes.contains(&attribute.name()) {
                let error = Error::new(format!(
                    "<{}> has no attribute '{}'",
                    self.tag(),
                    attribute.name()
                ));
                self.unknown(
                    error.at(attribute.range_qname()),
                    attribute.name(),
                    &self.known_attributes.clone(),
                );
            }
        }
        for child in self.node.children() {
            if child.is_element() {
                self.report_unknown_element(child);
            } else if child.is_text()
                && !self.text_known
                && !child.text().unwrap_or("").trim().is_empty()
            {
                let message = format!("<{}> cannot hold text", self.tag());
                self.found
                    .errors
                    .push(Error::new(message).at(child.range()));
            }
        }
    }

    fn report_unknown_element(&mut self, child: Node<'a, 'input>) {
        let (name, at) = (child.tag_name().name(), start_tag(child, self.source));
        match child.tag_name().namespace() {
            Some(namespace) if namespace != QEMU_NAMESPACE => {
                self.found
                    .notes
                    .push(foreign(&format!("<{name}>"), namespace, at));
            }
            _ if self
                .known_children
                .iter()
                .any(|known| is_named(&child, known)) => {}
            _ => {
                let name = described(child);
                let error = Error::new(format!(
                    "<{name}> is not understood within <{}>",
                    self.tag()
                ));
                self.unknown(error.at(at), &name, &self.known_children.clone());
            }
        }
    }

    fn unknown(&mut self, mut error: Error, name: &str, known: &[&'static str]) {
        let near = (self.found.errors.len() < MOST_SUGGESTIONS)
            .then(|| suggest::nearest(name, known.iter().copied()));
        if let Some(near) = near.flatten() {
            error = error.hint(format!("did you mean '{near}'?"));
        }
        self.found.errors.push(error);
    }
}

impl Visitor for Reader<'_, '_> {
    fn reading(&self) -> bool {
        true
    }

    fn attr(&mut self, name: &'static str, slot: &mut dyn OneValue) {
        self.value(name, slot);
    }

    fn required(&mut self, name: &'static str, slot: &mut dyn RequiredSlot) {
        let Some(attribute) = self.attribute(name) else {
            return self.error(format!("<{}> needs the attribute '{name}'", self.tag()));
        };
        if let Err(expected) = slot.read(attribute.value()) {
            self.wrong_attribute(attribute, &expected);
        }
    }

    fn yes_no(&mut self, name: &'static str, slot: &mut Option<bool>) {
        self.tristate(name, slot, ["no", "yes"]);
    }

    fn on_off(&mut self, name: &'static str, slot: &mut Option<bool>) {
        self.tristate(name, slot, ["off", "on"]);
    }

    fn text(&mut self, slot: &mut dyn OneValue) {
        self.text_known = true;
        let texts = self
            .node
            .children()
            .filter(|n| n.is_text())
            .filter_map(|n| n.text());
        let text = texts.collect::<String>();
        let text = text.trim();
        if !text.is_empty()
            && let Err(expected) = slot.read(text)
        {
            let what = format!("the text of <{}>", self.tag());
            self.wrong_value(text, &what, start_tag(self.node, self.source), &expected);
        }
    }

    fn whole_text(&mut self, slot: &mut Option<String>) {
        self.text_known = true;
        let texts = self
            .node
            .children()
            .filter(|n| n.is_text())
            .filter_map(|n| n.text());
        *slot = Some(texts.collect());
    }

    fn leaf(&mut self, name: &'static str, slot: &mut dyn OneValue) {
        let mut leaf: Option<Leaf> = None;
        self.child(name, &mut leaf);
        if let Some(Leaf(text)) = leaf
            && let Some(node) = self.elements(name).first()
        {
            let text = text.unwrap_or_default();
            if let Err(expected) = slot.read(&text) {
                self.wrong_value(
                    &text,
                    &format!("<{name}>"),
                    start_tag(*node, self.source),
                    &expected,
                );
            }
        }
    }

    fn child(&mut self, name: &'static str, slot: &mut dyn OneElement) {
        if let Some(node) = self.only(name) {
            read(node, self.source, slot.add(), &mut self.found);
        }
    }

    fn children(&mut self, name: &'static str, slot: &mut dyn ManyElements) {
        let nodes = self.elements(name);
        slot.reserve(nodes.len());
        for node in nodes {
            let before = self.found.errors.len();
            read(node, self.source, slot.add(), &mut self.found);
            // Of so many faulty elements no more is asked than how many errors they have.
            if before >= MOST_FAULTY && self.found.errors.len() > before {
                slot.drop_last();
            }
        }
    }

    fn child_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn OneValue) {
        if let Some(node) = self.only(name) {
            slot.clear();
            self.word(node, attr, slot);
        }
    }

    fn children_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn ManyValues) {
        for node in self.elements(name) {
            self.word(node, attr, slot);
        }
    }

    fn flag(&mut self, name: &'static str, slot: &mut bool) {
        let mut present: Option<Empty> = None;
        self.child(name, &mut present);
        *slot = present.is_some();
    }

    fn verbatim(&mut self, name: &'static str, slot: &mut Option<String>) {
        if let Some(node) = self.only(name) {
            *slot = verbatim(node, self.source);
        }
    }

    fn span(&mut self, slot: &mut SourceSpan) {
        *slot = SourceSpan(Some(start_tag(self.node, self.source)));
    }

    fn error(&mut self, message: String) {
        // After a faulty value it may only say that there is none.
        if !self.faulty {
            self.found
                .errors
                .push(Error::new(message).at(start_tag(self.node, self.source)));
        }
    }
}

/// Returns the text on one line.
fn visible(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    shortened(text.into()).chars().map(shown).collect()
}

/// Namespace of libvirt's elements for what only QEMU knows (`<qemu:commandline>` …).
pub(crate) const QEMU_NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";
/// What the names of such elements begin with in a description, whatever the prefix in the
/// document.
const QEMU_PREFIX: &str = "qemu:";

/// Returns an element's name as a description has it.
fn described(node: Node<'_, '_>) -> String {
    let prefix = if node.tag_name().namespace() == Some(QEMU_NAMESPACE) {
        QEMU_PREFIX
    } else {
        ""
    };
    format!("{prefix}{}", node.tag_name().name())
}

/// Whether a node is an element of the name that a description uses.
fn is_named(node: &Node<'_, '_>, name: &str) -> bool {
    let tag = node.tag_name();
    let (namespace, local) = match name.strip_prefix(QEMU_PREFIX) {
        Some(local) => (Some(QEMU_NAMESPACE), local),
        None => (None, name),
    };
    node.is_element() && tag.name() == local && tag.namespace() == namespace
}

/// What is of another namespace has a meaning for others only.
fn foreign(what: &str, namespace: &str, at: Range<usize>) -> Note {
    Note::new(
        format!("{what} of the namespace '{namespace}' is ignored"),
        at,
    )
}

/// Returns the text of an element that is kept to the letter. Prefixes that are declared further up
/// are declared in it, so that the text can stand elsewhere.
fn verbatim(node: Node<'_, '_>, source: &str) -> Option<String> {
    let text = source.get(node.range())?;
    let own_tag = source.get(start_tag(node, source))?;
    let inherited = node
        .parent_element()
        .into_iter()
        .flat_map(|parent| parent.namespaces());
    let mut declared = String::new();
    for namespace in inherited {
        let Some(prefix) = namespace.name().filter(|p| *p != "xml") else {
            continue;
        };
        if text.contains(&format!("{prefix}:")) && !declares(own_tag, prefix) {
            declared.push_str(&format!(
                " xmlns:{prefix}=\"{}\"",
                super::writer::escape(namespace.uri())
            ));
        }
    }
    let name_ends = 1 + node.tag_name().name().len();
    Some(format!(
        "{}{declared}{}",
        text.get(..name_ends)?,
        text.get(name_ends..)?
    ))
}

fn declares(tag: &str, prefix: &str) -> bool {
    let declaration = format!("xmlns:{prefix}");
    tag.split(declaration.as_str())
        .skip(1)
        .any(|rest| rest.trim_start().starts_with('='))
}

/// An element with nothing but text.
#[derive(Default)]
struct Leaf(Option<String>);

impl Element for Leaf {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.text(&mut self.0);
    }
}

/// An element with nothing at all.
#[derive(Default)]
pub(crate) struct Empty;

impl Element for Empty {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

/// Returns the bytes of an element's start tag, from `<` to `>`.
fn start_tag(node: Node<'_, '_>, source: &str) -> Range<usize> {
    let range = node.range();
    let text = source.get(range.clone()).unwrap_or("");
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return range.start..range.start + at + 1,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    range
}
