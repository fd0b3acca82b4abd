//! What elements, attributes and values there are, found out by the descriptions that reader and
//! writer follow.
//!
//! What an element holds can depend on its values (an address's attributes on its type). So the
//! descriptions are followed many times, each time with other values, and what was met is put
//! together.

use super::slot::{ManyElements, ManyValues, OneElement, OneValue, RequiredSlot, ValueSlot};
use super::span::SourceSpan;
use super::{Element, Visitor};

/// Rounds through the descriptions. The longest lists have some dozens of words.
const ROUNDS: usize = 240;

/// An element of the domain's XML, with all that it can hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Whether it can stand several times.
    pub repeats: bool,
    /// Its attributes.
    pub attributes: Vec<(&'static str, Values)>,
    /// What its text is, where it has one.
    pub text: Option<Values>,
    /// The elements within it; none within one that stands within another of its name, which has
    /// the same.
    pub children: Vec<Description>,
}

/// What an attribute or text can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Any text.
    Text,
    /// One of these words.
    Words(Vec<String>),
    /// Of a form that the text describes.
    Form(String),
}

/// Describes an element of that name.
pub(crate) fn describe<E: Element + Default>(name: &'static str) -> Description {
    let mut description = Description {
        name,
        ..Description::default()
    };
    for round in 0..ROUNDS {
        let path = Path { names: vec![name] };
        E::default().visit(&mut Describer {
            round,
            path,
            into: &mut description,
        });
    }
    description
}

/// The names of the elements around.
#[derive(Clone)]
struct Path {
    names: Vec<&'static str>,
}

struct Describer<'a> {
    round: usize,
    path: Path,
    into: &'a mut Description,
}

impl Describer<'_> {
    /// Notes an attribute, and returns texts of which the first one that can be read is this
    /// round's value.
    fn note(&mut self, name: &'static str, expected: Option<String>) -> Vec<String> {
        let values = values(expected);
        let examples = self.examples(name, &values);
        self.add(name, values);
        examples
    }

    /// Adds what an attribute can be to what is known of it: elements of two kinds can have one
    /// name.
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

    /// Notes an attribute, and fills its field for this round.
    fn value(&mut self, name: &'static str, slot: &mut dyn ValueSlot) {
        let examples = self.note(name, slot.expected());
        fill(slot, &examples);
    }

    fn note_words(&mut self, name: &'static str, words: [&str; 2]) -> Option<bool> {
        let values = Values::Words(words.map(str::to_owned).into());
        self.add(name, values);
        Some(self.number(name).is_multiple_of(2))
    }

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

    /// A number that is another one in each round and for each name, the same each time.
    fn number(&self, name: &str) -> usize {
        let names = self.path.names.iter().copied().chain([name]);
        let seed = u64::try_from(self.round).unwrap_or(0);
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = names
            .flat_map(str::bytes)
            .fold(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), mix);
        // The first rounds go through the words in their order, so that none is left out.
        if self.round < ROUNDS / 4 {
            self.round
        } else {
            usize::try_from(hash >> 33).unwrap_or(0)
        }
    }

    /// Goes into a child element.
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
        // An element within one of its name has no end.
        if self.path.names.contains(&name) {
            return;
        }
        let mut path = self.path.clone();
        path.names.push(name);
        visit(&mut Describer {
            round: self.round,
            path,
            into: &mut self.into.children[at],
        });
    }
}

/// Returns what a value can be, from the error of a text that none has.
fn values(expected: Option<String>) -> Values {
    let Some(expected) = expected else {
        return Values::Text;
    };
    match expected.strip_prefix("known are ") {
        Some(words) => Values::Words(
            words
                .split(", ")
                .map(|word| word.trim_matches('\'').to_owned())
                .collect(),
        ),
        None => Values::Form(
            expected
                .strip_prefix("expected ")
                .unwrap_or(&expected)
                .to_owned(),
        ),
    }
}

/// Puts the first text that can be read into a slot, in place of what was there.
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

    fn error(&mut self, _: String) {}
}

#[cfg(test)]
mod tests {
    use crate::model::domain::Domain;

    #[test]
    fn words_of_two_kinds_of_an_attribute_are_joined() {
        let domain = Domain::description();
        let mut element = &domain;
        for name in ["devices", "tpm", "backend", "source"] {
            element = element
                .children
                .iter()
                .find(|child| child.name == name)
                .unwrap();
        }
        let (_, values) = element
            .attributes
            .iter()
            .find(|(name, _)| *name == "type")
            .unwrap();
        let super::Values::Words(words) = values else {
            panic!("{values:?}")
        };
        for word in ["file", "dir", "unix"] {
            assert!(words.iter().any(|known| known == word), "{word}: {words:?}");
        }
    }

    #[test]
    fn what_depends_on_a_value_is_found() {
        let domain = Domain::description();
        let child = |parent: &super::Description, name| {
            parent.children.iter().find(|c| c.name == name).cloned()
        };
        let hostdev = child(&child(&domain, "devices").unwrap(), "hostdev").unwrap();
        let address = child(&hostdev, "address").unwrap();
        for attribute in ["slot", "cssid", "unit", "multifunction"] {
            assert!(
                address
                    .attributes
                    .iter()
                    .any(|(name, _)| *name == attribute),
                "{attribute}"
            );
        }
        let source = child(&hostdev, "source").unwrap();
        let address = child(&source, "address").unwrap();
        for attribute in ["uuid", "slot"] {
            assert!(
                address
                    .attributes
                    .iter()
                    .any(|(name, _)| *name == attribute),
                "{attribute}"
            );
        }
    }
}
