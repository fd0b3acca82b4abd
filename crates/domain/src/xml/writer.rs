//! Writes elements as libvirt does: two spaces a level, single quotes, attributes before children.

use super::slot::{
    ElementSlot, ManyElements, ManyValues, OneElement, OneValue, RequiredSlot, ValueSlot,
};
use super::span::SourceSpan;
use super::{Element, Visitor};

/// Collects what one element holds.
#[derive(Default)]
pub(crate) struct Writer {
    attributes: Vec<(&'static str, String)>,
    children: Vec<Child>,
    text: Option<String>,
}

enum Child {
    Element(&'static str, Writer),
    Verbatim(String),
}

/// Returns the document whose root is `element`. The element itself is left as it was.
pub(crate) fn write<E: Element + Clone>(name: &'static str, element: &E) -> String {
    let mut out = String::new();
    describe(&mut element.clone()).print(name, 0, &mut out);
    out
}

fn describe(element: &mut dyn Element) -> Writer {
    let mut writer = Writer::default();
    element.visit(&mut writer);
    writer
}

impl Writer {
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
            self.element(name, describe(element));
        }
    }

    /// Adds an element with one attribute for each value.
    fn words(&mut self, name: &'static str, attr: &'static str, slot: &dyn ValueSlot) {
        for value in slot.write() {
            self.element(
                name,
                Writer {
                    attributes: vec![(attr, value)],
                    ..Writer::default()
                },
            );
        }
    }
}

/// Escapes what XML gives a meaning to, in text and in attributes with single quotes. Line breaks
/// and tabs become character references, so that a reader does not turn them into spaces.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

impl Visitor for Writer {
    fn reading(&self) -> bool {
        false
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
            self.element(
                name,
                Writer {
                    text: Some(value),
                    ..Writer::default()
                },
            );
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

    fn error(&mut self, _: String) {}
}
