//! Reads elements from a document and reports every part that is wrong or unknown.

use std::ops::Range;

use roxmltree::{Attribute, Node};

use super::element::{ManyElements, OneElement};
use super::findings::Findings;
use super::node::{QEMU_NAMESPACE, described_name, is_named, start_tag, text_of, verbatim};
use super::slot::{ManyValues, OneValue, RequiredSlot, ValueSlot};
use super::span::{SourceSpan, TopSpans};
use super::{Element, Visitor, suggest};
use crate::error::{Error, fit};

/// Number of errors of an element beyond which the reader suggests no names: that takes long.
const MAX_SUGGESTIONS: usize = 100;

/// Number of errors of an element beyond which faulty children are dropped, to bound the memory.
const MAX_FAULTY: usize = 1000;

/// A visitor that fills one element from a node of the document.
///
/// The reader collects errors. A faulty part leaves its slot unchanged.
pub(crate) struct Reader<'a, 'input> {
    node: Node<'a, 'input>,
    source: &'input str,
    known_attributes: Vec<&'static str>,
    known_children: Vec<&'static str>,
    text_known: bool,
    /// Attributes and children with errors; the element's text is `""`.
    faulty: Vec<&'static str>,
    found: Findings,
    is_running: bool,
}

/// Reads `node` into an element and adds the errors and notes to `found`.
pub(crate) fn read(
    node: Node<'_, '_>,
    source: &str,
    element: &mut dyn Element,
    found: &mut Findings,
) {
    read_as(node, source, element, found, false);
}

/// Reads `node` as [`read`] does. With `is_running`, the document is that of a running guest.
pub(crate) fn read_as(
    node: Node<'_, '_>,
    source: &str,
    element: &mut dyn Element,
    found: &mut Findings,
    is_running: bool,
) {
    let mut reader = Reader::new(node, source);
    reader.is_running = is_running;
    element.visit(&mut reader);
    reader.report_unknown();
    found.append(reader.found);
}

impl<'a, 'input> Reader<'a, 'input> {
    fn new(node: Node<'a, 'input>, source: &'input str) -> Self {
        Self {
            node,
            source,
            known_attributes: Vec::new(),
            known_children: Vec::new(),
            text_known: false,
            faulty: Vec::new(),
            found: Findings::default(),
            is_running: false,
        }
    }

    /// Reads an attribute.
    fn value(&mut self, name: &'static str, slot: &mut dyn ValueSlot) {
        if let Some(attribute) = self.attribute(name)
            && let Err(expected) = slot.read(attribute.value())
        {
            self.faulty.push(name);
            self.wrong_attribute(attribute, &expected);
        }
    }

    /// Reads a child element.
    fn element(&mut self, name: &'static str, node: Node<'a, 'input>, slot: &mut dyn Element) {
        let before = self.found.errors.len();
        read_as(node, self.source, slot, &mut self.found, self.is_running);
        if self.found.errors.len() > before {
            self.faulty.push(name);
        }
    }

    /// Reads the child `name`, which has the attribute `attr` and nothing else.
    fn word(
        &mut self,
        name: &'static str,
        node: Node<'a, 'input>,
        attr: &'static str,
        slot: &mut dyn ValueSlot,
    ) {
        let mut reader = Reader::new(node, self.source);
        reader.value(attr, slot);
        if node.attribute(attr).is_none() {
            reader.error(format!("<{}> needs the attribute '{attr}'", reader.tag()));
        }
        reader.report_unknown();
        if !reader.found.errors.is_empty() {
            self.faulty.push(name);
        }
        self.found.append(reader.found);
    }

    /// Notes an attribute as known and returns it, if the element has it.
    fn attribute(&mut self, name: &'static str) -> Option<Attribute<'a, 'input>> {
        self.known_attributes.push(name);
        self.node
            .attributes()
            .find(|a| a.namespace().is_none() && a.name() == name)
    }

    /// Notes a child's name as known and returns the children of that name.
    fn elements(&mut self, name: &'static str) -> Vec<Node<'a, 'input>> {
        self.known_children.push(name);
        self.node.children().filter(|n| is_named(n, name)).collect()
    }

    /// Returns the only child of a name; reports each further one as an error.
    fn only(&mut self, name: &'static str) -> Option<Node<'a, 'input>> {
        let all = self.elements(name);
        for again in all.iter().skip(1) {
            let message = format!("<{name}> appears twice in <{}>", self.tag());
            self.found.error_at_tag(message, *again, self.source);
        }

        all.first().copied()
    }

    /// Returns the element's name as descriptions spell it.
    fn tag(&self) -> String {
        described_name(self.node)
    }

    /// Reports that a text is not a value of the part `part`.
    fn wrong_value(&mut self, text: &str, part: &str, at: Range<usize>, expected: &str) {
        let message = format!("{part} is '{}': {expected}", visible(text));
        self.found.error(message, at);
    }

    fn wrong_attribute(&mut self, attribute: Attribute<'a, 'input>, expected: &str) {
        let part = format!("'{}' of <{}>", attribute.name(), self.tag());
        self.wrong_value(attribute.value(), &part, attribute.range_value(), expected);
    }

    /// Reads an attribute that is one of two words; an absent one stays `None`.
    fn tristate(&mut self, name: &'static str, slot: &mut Option<bool>, [no, yes]: [&str; 2]) {
        let Some(attribute) = self.attribute(name) else {
            return;
        };
        match attribute.value() {
            value if value == yes => *slot = Some(true),
            value if value == no => *slot = Some(false),
            other => {
                self.faulty.push(name);
                let tag = self.tag();
                let message =
                    format!("'{name}' of <{tag}> is '{other}': expected '{yes}' or '{no}'");
                self.found.error(message, attribute.range_value());
            }
        }
    }

    /// Reports the attributes, children and text that the description did not name.
    fn report_unknown(&mut self) {
        for attribute in self.node.attributes() {
            self.report_unknown_attribute(attribute);
        }
        for child in self.node.children() {
            if child.is_element() {
                self.report_unknown_element(child);
            } else if child.is_text() && !self.text_known {
                self.report_text(child);
            }
        }
    }

    fn report_unknown_attribute(&mut self, attribute: Attribute<'a, 'input>) {
        let name = attribute.name();
        let at = attribute.range_qname();
        if let Some(namespace) = attribute.namespace() {
            let part = format!("the attribute '{name}'");
            self.found.ignored(&part, namespace, at);
        } else if !self.known_attributes.contains(&name) {
            let message = format!("<{}> has no attribute '{name}'", self.tag());
            let known = self.known_attributes.clone();
            self.unknown(Error::new(message).at(at), name, &known);
        }
    }

    fn report_unknown_element(&mut self, child: Node<'a, 'input>) {
        let at = start_tag(child, self.source);
        if let Some(namespace) = child.tag_name().namespace()
            && namespace != QEMU_NAMESPACE
        {
            let part = format!("<{}>", child.tag_name().name());
            self.found.ignored(&part, namespace, at);
        } else if !self.known_children.iter().any(|k| is_named(&child, k)) {
            let name = described_name(child);
            let message = format!("<{name}> is not understood within <{}>", self.tag());
            let known = self.known_children.clone();
            self.unknown(Error::new(message).at(at), &name, &known);
        }
    }

    fn report_text(&mut self, text: Node<'a, 'input>) {
        let is_blank = text.text().unwrap_or("").trim().is_empty();
        if is_blank {
            return;
        }
        let range = text.range();
        let source = self.source.get(range.clone()).unwrap_or("");
        let mut lines = source.lines().map(str::trim);
        let shown = lines.find(|line| !line.is_empty()).unwrap_or("");
        let start = range.start + source.find(shown).unwrap_or(0);
        let message = format!("<{}> cannot hold text: '{}'", self.tag(), visible(shown));
        self.found.error(message, start..start + shown.len());
    }

    /// Reports an unknown name, with the nearest known name as a hint.
    fn unknown(&mut self, mut error: Error, name: &str, known: &[&'static str]) {
        if self.found.errors.len() < MAX_SUGGESTIONS
            && let Some(near) = suggest::nearest(name, known.iter().copied())
        {
            error = error.hint(format!("did you mean '{near}'?"));
        }

        self.found.errors.push(error);
    }
}

impl Visitor for Reader<'_, '_> {
    fn reading(&self) -> bool {
        true
    }

    fn is_running(&self) -> bool {
        self.is_running
    }

    fn attr(&mut self, name: &'static str, slot: &mut dyn OneValue) {
        self.value(name, slot);
    }

    fn required(&mut self, name: &'static str, slot: &mut dyn RequiredSlot) {
        let Some(attribute) = self.attribute(name) else {
            self.error(format!("<{}> needs the attribute '{name}'", self.tag()));
            return self.faulty.push(name);
        };
        if let Err(expected) = slot.read(attribute.value()) {
            self.faulty.push(name);
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
        let text = text_of(self.node);
        let text = text.trim();
        if !text.is_empty()
            && let Err(expected) = slot.read(text)
        {
            self.faulty.push("");
            let part = format!("the text of <{}>", self.tag());
            self.wrong_value(text, &part, start_tag(self.node, self.source), &expected);
        }
    }

    fn whole_text(&mut self, slot: &mut Option<String>) {
        self.text_known = true;
        *slot = Some(text_of(self.node));
    }

    fn leaf(&mut self, name: &'static str, slot: &mut dyn OneValue) {
        let mut leaf: Option<Leaf> = None;
        self.child(name, &mut leaf);
        let Some(Leaf(text)) = leaf else { return };
        let Some(node) = self.elements(name).first().copied() else {
            return;
        };
        let text = text.unwrap_or_default();
        if let Err(expected) = slot.read(&text) {
            let at = start_tag(node, self.source);
            self.faulty.push(name);
            self.wrong_value(&text, &format!("<{name}>"), at, &expected);
        }
    }

    fn child(&mut self, name: &'static str, slot: &mut dyn OneElement) {
        if let Some(node) = self.only(name) {
            self.element(name, node, slot.add());
        }
    }

    fn children(&mut self, name: &'static str, slot: &mut dyn ManyElements) {
        let nodes = self.elements(name);
        slot.reserve(nodes.len());
        for node in nodes {
            let before = self.found.errors.len();
            self.element(name, node, slot.add());
            // Beyond this limit only the number of errors is needed, not the faulty elements.
            if before >= MAX_FAULTY && self.found.errors.len() > before {
                slot.drop_last();
            }
        }
    }

    fn child_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn OneValue) {
        if let Some(node) = self.only(name) {
            slot.clear();
            self.word(name, node, attr, slot);
        }
    }

    fn children_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn ManyValues) {
        for node in self.elements(name) {
            self.word(name, node, attr, slot);
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

    fn top_spans(&mut self, slot: &mut TopSpans) {
        for child in self.node.children().filter(is_ours) {
            let name = described_name(child);
            slot.add(name.clone(), || start_tag(child, self.source));
            if name == "metadata" {
                continue;
            }
            for inner in child.children().filter(is_ours) {
                let name = format!("{name}/{}", described_name(inner));
                slot.add(name, || start_tag(inner, self.source));
            }
        }
    }

    fn error(&mut self, message: String) {
        if self.faulty.is_empty() {
            self.found.error_at_tag(message, self.node, self.source);
        }
    }

    fn lacks(&mut self, parts: &[&'static str], message: String) {
        if !self.faulty.iter().any(|part| parts.contains(part)) {
            self.found.error_at_tag(message, self.node, self.source);
        }
    }
}

/// Returns whether a node is an element of the domain, and not of another namespace.
fn is_ours(node: &Node<'_, '_>) -> bool {
    let namespace = node.tag_name().namespace();
    node.is_element() && namespace.is_none_or(|known| known == QEMU_NAMESPACE)
}

/// Returns the text on one line, without passwords and shortened if it is long.
fn visible(text: &str) -> String {
    let mut line = String::new();
    for c in fit(text.into()).chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }

    line
}

/// An element with nothing but text.
#[derive(Default)]
struct Leaf(Option<String>);

impl Element for Leaf {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.text(&mut self.0);
    }
}

/// An element without attributes, children and text.
#[derive(Default)]
struct Empty;

impl Element for Empty {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}
