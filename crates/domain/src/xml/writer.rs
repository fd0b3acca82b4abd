//! Writes elements as libvirt does: two spaces a level, single quotes, attributes before children.

use super::element::{ElementSlot, ManyElements, OneElement};
use super::escape::escape;
use super::slot::{ManyValues, OneValue, RequiredSlot, ValueSlot};
use super::span::{SourceSpan, TopSpans};
use super::{Element, Visitor};

/// A visitor that collects the attributes, children and text of one element.
#[derive(Default)]
pub(crate) struct Writer {
    attributes: Vec<(&'static str, String)>,
    children: Vec<Child>,
    text: Option<String>,
    is_running: bool,
}

/// A child of the element that is written.
enum Child {
    Element(&'static str, Writer),
    Verbatim(String),
}

/// Returns the document whose root is `element`. The element is unchanged.
pub(crate) fn write<E: Element + Clone>(name: &'static str, element: &E) -> String {
    write_as(name, element, false)
}

/// Returns the document of a running guest whose root is `element`. The element is unchanged.
pub(crate) fn write_running<E: Element + Clone>(name: &'static str, element: &E) -> String {
    write_as(name, element, true)
}

fn write_as<E: Element + Clone>(name: &'static str, element: &E, is_running: bool) -> String {
    let mut out = String::new();
    collect(&mut element.clone(), is_running).print(name, 0, &mut out);
    out
}

/// Collects the attributes, children and text of an element.
fn collect(element: &mut dyn Element, is_running: bool) -> Writer {
    let mut writer = Writer {
        is_running,
        ..Writer::default()
    };
    element.visit(&mut writer);
    writer
}

impl Writer {
    /// Appends the element to `out`, indented for its level.
    fn print(&self, name: &str, level: usize, out: &mut String) {
        let indent = "  ".repeat(level);
        out.push_str(&format!("{indent}<{name}"));
        for (name, value) in &self.attributes {
            out.push_str(&format!(" {name}='{}'", escape(value)));
        }
        match &self.text {
            Some(text) => out.push_str(&format!(">{}</{name}>\n", escape(text))),
            None if self.children.is_empty() => out.push_str("/>\n"),
            None => {
                out.push_str(">\n");
                for child in &self.children {
                    match child {
                        Child::Element(name, writer) => writer.print(name, level + 1, out),
                        Child::Verbatim(text) => out.push_str(&format!("{indent}  {text}\n")),
                    }
                }
                out.push_str(&format!("{indent}</{name}>\n"));
            }
        }
    }

    fn push(&mut self, name: &'static str, value: String) {
        self.attributes.push((name, value));
    }

    fn element(&mut self, name: &'static str, writer: Writer) {
        self.children.push(Child::Element(name, writer));
    }

    fn elements(&mut self, name: &'static str, slot: &mut dyn ElementSlot) {
        for element in slot.elements() {
            self.element(name, collect(element, self.is_running));
        }
    }

    /// Adds an element with one attribute for each value.
    fn words(&mut self, name: &'static str, attr: &'static str, slot: &dyn ValueSlot) {
        for value in slot.write() {
            let mut writer = Writer::default();
            writer.push(attr, value);
            self.element(name, writer);
        }
    }
}

impl Visitor for Writer {
    fn reading(&self) -> bool {
        false
    }

    fn is_running(&self) -> bool {
        self.is_running
    }

    fn attr(&mut self, name: &'static str, slot: &mut dyn OneValue) {
        for value in slot.write() {
            self.push(name, value);
        }
    }

    fn required(&mut self, name: &'static str, slot: &mut dyn RequiredSlot) {
        self.push(name, slot.write());
    }

    fn yes_no(&mut self, name: &'static str, slot: &mut Option<bool>) {
        if let Some(value) = slot {
            self.push(name, if *value { "yes" } else { "no" }.into());
        }
    }

    fn on_off(&mut self, name: &'static str, slot: &mut Option<bool>) {
        if let Some(value) = slot {
            self.push(name, if *value { "on" } else { "off" }.into());
        }
    }

    fn text(&mut self, slot: &mut dyn OneValue) {
        self.text = slot.write().pop();
    }

    fn whole_text(&mut self, slot: &mut Option<String>) {
        self.text.clone_from(slot);
    }

    fn leaf(&mut self, name: &'static str, slot: &mut dyn OneValue) {
        for value in slot.write() {
            let text = Some(value);
            let writer = Writer {
                text,
                ..Writer::default()
            };
            self.element(name, writer);
        }
    }

    fn child(&mut self, name: &'static str, slot: &mut dyn OneElement) {
        self.elements(name, slot);
    }

    fn children(&mut self, name: &'static str, slot: &mut dyn ManyElements) {
        self.elements(name, slot);
    }

    fn child_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn OneValue) {
        self.words(name, attr, slot);
    }

    fn children_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn ManyValues) {
        self.words(name, attr, slot);
    }

    fn flag(&mut self, name: &'static str, slot: &mut bool) {
        if *slot {
            self.element(name, Writer::default());
        }
    }

    fn verbatim(&mut self, _: &'static str, slot: &mut Option<String>) {
        if let Some(text) = slot {
            self.children.push(Child::Verbatim(text.clone()));
        }
    }

    fn span(&mut self, _: &mut SourceSpan) {}

    fn top_spans(&mut self, _: &mut TopSpans) {}

    fn error(&mut self, _: String) {}

    fn lacks(&mut self, _: &[&'static str], _: String) {}
}
