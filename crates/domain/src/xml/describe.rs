//! The reference of the XML: all elements, attributes and values, collected from the descriptions.
//!
//! The parts of an element can depend on its values; the attributes of an address depend on its
//! type, for example. The describer therefore follows the descriptions many times, each time with
//! other values, and joins the parts that it meets.

use super::element::{ManyElements, OneElement};
use super::slot::{ManyValues, OneValue, RequiredSlot, ValueSlot};
use super::span::{SourceSpan, TopSpans};
use super::{Element, Visitor};

/// Number of rounds through the descriptions. The longest lists have some dozens of words.
const ROUNDS: usize = 240;

/// An element of the domain XML, with all attributes, text and children that it can have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Name of the element.
    pub name: &'static str,
    /// Whether the parent can have several elements of this name.
    pub repeats: bool,
    /// Names of the attributes, with their values.
    pub attributes: Vec<(&'static str, Values)>,
    /// Values of the text; `None` if the element cannot have text.
    pub text: Option<Values>,
    /// Child elements. An element within another of the same name lists none: it has the outer
    /// one's.
    pub children: Vec<Description>,
}

/// The values that an attribute or text can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Any text.
    Text,
    /// One of these words.
    Words(Vec<String>),
    /// A text of the form that this string describes.
    Form(String),
}

/// Returns the description of an element type under the name `name`.
pub(crate) fn describe<E: Element + Default>(name: &'static str) -> Description {
    let mut description = Description {
        name,
        ..Description::default()
    };
    for round in 0..ROUNDS {
        E::default().visit(&mut Describer {
            round,
            path: vec![name],
            into: &mut description,
        });
    }

    description
}

/// A visitor that adds the parts of one element to its description.
struct Describer<'a> {
    round: usize,
    /// Names of the elements from the root to this one.
    path: Vec<&'static str>,
    into: &'a mut Description,
}

impl Describer<'_> {
    /// Adds an attribute. Returns texts; the first one that can be read is this round's value.
    fn note(&mut self, name: &'static str, expected: Option<String>) -> Vec<String> {
        let values = values(expected);
        let examples = self.examples(name, &values);
        self.add(name, values);
        examples
    }

    /// Adds the values of an attribute to the known ones. Two types of element can share a name.
    fn add(&mut self, name: &'static str, values: Values) {
        let known = self
            .into
            .attributes
            .iter_mut()
            .find(|(known, _)| *known == name);
        match (known, values) {
            (Some((_, Values::Words(known))), Values::Words(words)) => {
                for word in words {
                    if !known.contains(&word) {
                        known.push(word);
                    }
                }
            }
            (Some(_), _) => {}
            (None, values) => self.into.attributes.push((name, values)),
        }
    }

    /// Adds an attribute and fills its field for this round.
    fn value(&mut self, name: &'static str, slot: &mut dyn ValueSlot) {
        let examples = self.note(name, slot.expected());
        fill(slot, &examples);
    }

    /// Adds an attribute with two words. Returns this round's value.
    fn note_words(&mut self, name: &'static str, words: [&str; 2]) -> Option<bool> {
        let values = Values::Words(words.map(str::to_owned).into());
        self.add(name, values);
        Some(self.number(name).is_multiple_of(2))
    }

    /// Returns texts to try as this round's value.
    fn examples(&self, name: &str, values: &Values) -> Vec<String> {
        const EXAMPLES: [&str; 6] = [
            "1",
            "/a",
            "a",
            "52:54:00:00:00:01",
            "00000000-0000-0000-0000-000000000001",
            "0",
        ];
        match values {
            Values::Words(words) => vec![words[self.number(name) % words.len()].clone()],
            _ => EXAMPLES.map(str::to_owned).into(),
        }
    }

    /// Returns a number that depends only on the round and on the names in the path.
    fn number(&self, name: &str) -> usize {
        // The first rounds go through the words in their order, so that none is left out.
        if self.round < ROUNDS / 4 {
            return self.round;
        }
        let seed = u64::try_from(self.round).unwrap_or(0);
        let mut hash = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in self.path.iter().copied().chain([name]).flat_map(str::bytes) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        usize::try_from(hash >> 33).unwrap_or(0)
    }

    /// Adds a child element and visits its parts.
    fn inside(
        &mut self,
        name: &'static str,
        repeats: bool,
        visit: impl FnOnce(&mut Describer<'_>),
    ) {
        let known = self
            .into
            .children
            .iter()
            .position(|child| child.name == name);
        let at = known.unwrap_or_else(|| {
            self.into.children.push(Description {
                name,
                repeats,
                ..Description::default()
            });
            self.into.children.len() - 1
        });
        // An element within one of its own name would recur without end.
        if self.path.contains(&name) {
            return;
        }
        let mut path = self.path.clone();
        path.push(name);
        visit(&mut Describer {
            round: self.round,
            path,
            into: &mut self.into.children[at],
        });
    }
}

/// Derives the values of a slot from its error for a text that is not a value.
fn values(expected: Option<String>) -> Values {
    let Some(expected) = expected else {
        return Values::Text;
    };
    if let Some(words) = expected.strip_prefix("known are ") {
        let words = words.split(", ");
        let words = words.map(|word| word.trim_matches('\'').to_owned());
        return Values::Words(words.collect());
    }

    let form = expected.strip_prefix("expected ").unwrap_or(&expected);
    Values::Form(form.to_owned())
}

/// Replaces a slot's values with the first text that can be read.
fn fill(slot: &mut dyn ValueSlot, examples: &[String]) {
    slot.clear();
    let _ = examples.iter().find(|text| slot.read(text).is_ok());
}

impl Visitor for Describer<'_> {
    fn reading(&self) -> bool {
        true
    }

    fn attr(&mut self, name: &'static str, slot: &mut dyn OneValue) {
        self.value(name, slot);
    }

    fn required(&mut self, name: &'static str, slot: &mut dyn RequiredSlot) {
        let examples = self.note(name, slot.expected());
        let _ = examples.iter().find(|text| slot.read(text).is_ok());
    }

    fn yes_no(&mut self, name: &'static str, slot: &mut Option<bool>) {
        *slot = self.note_words(name, ["yes", "no"]);
    }

    fn on_off(&mut self, name: &'static str, slot: &mut Option<bool>) {
        *slot = self.note_words(name, ["on", "off"]);
    }

    fn text(&mut self, slot: &mut dyn OneValue) {
        let values = self
            .into
            .text
            .take()
            .unwrap_or_else(|| values(slot.expected()));
        fill(slot, &self.examples("", &values));
        self.into.text = Some(values);
    }

    fn whole_text(&mut self, slot: &mut Option<String>) {
        self.text(slot);
    }

    fn leaf(&mut self, name: &'static str, slot: &mut dyn OneValue) {
        self.inside(name, false, |inner| inner.text(slot));
    }

    fn child(&mut self, name: &'static str, slot: &mut dyn OneElement) {
        self.inside(name, false, |inner| slot.add().visit(inner));
    }

    fn children(&mut self, name: &'static str, slot: &mut dyn ManyElements) {
        let element = slot.add();
        self.inside(name, true, |inner| element.visit(inner));
    }

    fn child_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn OneValue) {
        self.inside(name, false, |inner| inner.value(attr, slot));
    }

    fn children_word(&mut self, name: &'static str, attr: &'static str, slot: &mut dyn ManyValues) {
        self.inside(name, true, |inner| inner.value(attr, slot));
    }

    fn flag(&mut self, name: &'static str, slot: &mut bool) {
        self.inside(name, false, |_| ());
        *slot = true;
    }

    fn verbatim(&mut self, name: &'static str, _: &mut Option<String>) {
        self.inside(name, false, |inner| {
            inner
                .into
                .text
                .get_or_insert(Values::Form("any XML".into()));
        });
    }

    fn span(&mut self, _: &mut SourceSpan) {}

    fn top_spans(&mut self, _: &mut TopSpans) {}

    fn error(&mut self, _: String) {}

    fn lacks(&mut self, _: &[&'static str], _: String) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Domain;

    fn child<'a>(parent: &'a Description, name: &str) -> &'a Description {
        let found = parent.children.iter().find(|child| child.name == name);
        found.unwrap()
    }

    fn has_attribute(element: &Description, name: &str) -> bool {
        element.attributes.iter().any(|(known, _)| *known == name)
    }

    #[test]
    fn words_of_an_attribute_in_two_element_types_are_joined() {
        let domain = Domain::description();
        let mut element = &domain;
        for name in ["devices", "tpm", "backend", "source"] {
            element = child(element, name);
        }
        let mut attributes = element.attributes.iter();
        let (_, values) = attributes.find(|(name, _)| *name == "type").unwrap();
        let Values::Words(words) = values else {
            panic!("{values:?}")
        };
        for word in ["file", "dir", "unix"] {
            assert!(words.iter().any(|known| known == word), "{word}: {words:?}");
        }
    }

    #[test]
    fn attributes_that_depend_on_a_value_are_described() {
        let domain = Domain::description();
        let hostdev = child(child(&domain, "devices"), "hostdev");
        let address = child(hostdev, "address");
        for attribute in ["slot", "cssid", "unit", "multifunction"] {
            assert!(has_attribute(address, attribute), "{attribute}");
        }
        let address = child(child(hostdev, "source"), "address");
        for attribute in ["uuid", "slot"] {
            assert!(has_attribute(address, attribute), "{attribute}");
        }
    }
}
