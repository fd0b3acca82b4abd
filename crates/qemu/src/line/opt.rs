//! Options of a command line as data.

use std::borrow::Cow;
use std::collections::HashSet;

use super::want::Want;

/// An option: `-flag value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Opt {
    /// The flag with its dash; empty for an argument of `<qemu:commandline>`.
    pub flag: &'static str,
    /// The value.
    pub value: Value,
}

/// Value of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value: the flag stands alone.
    Flag,
    /// An argument of `<qemu:commandline>`, which has no flag.
    Word(String),
    /// A text as it is (`-append`).
    Plain(Term),
    /// `head,key=value,…`, with commas in values doubled.
    List(List),
    /// A JSON object.
    Json(Object),
}

/// A value within an option.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// JSON's `null`.
    Null,
    /// `true`/`false` in JSON, `on`/`off` in a list.
    Bool(bool),
    /// A number.
    Number(u64),
    /// A number that can be negative.
    Signed(i64),
    /// A text.
    Text(String),
    /// An array; JSON only.
    Array(Vec<Term>),
    /// Values in one text, with colons between.
    Joined(Vec<Term>),
    /// An object within an object; JSON only.
    Object(Object),
    /// A descriptor or file; its text is chosen when the line is rendered.
    Want(Want),
}

/// `key=value` pairs in their order; an entry with an empty key is the list's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List(pub Vec<(Cow<'static, str>, Term)>);

/// Properties of the CPU in their order, as name and value.
pub(crate) type Properties = Vec<(String, Term)>;

/// Members of a JSON object in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(pub Vec<(Cow<'static, str>, Term)>);

impl Opt {
    pub(crate) const fn flag(flag: &'static str) -> Self {
        Self {
            flag,
            value: Value::Flag,
        }
    }

    /// Makes an argument of `<qemu:commandline>`.
    pub(crate) fn word(word: &str) -> Self {
        Self {
            flag: "",
            value: Value::Word(word.to_owned()),
        }
    }

    pub(crate) fn plain(flag: &'static str, value: impl Into<Term>) -> Self {
        Self {
            flag,
            value: Value::Plain(value.into()),
        }
    }

    pub(crate) const fn list(flag: &'static str, list: List) -> Self {
        Self {
            flag,
            value: Value::List(list),
        }
    }

    pub(crate) fn device(device: Object) -> Self {
        Self {
            flag: "-device",
            value: Value::Json(device),
        }
    }

    pub(crate) fn object(object: Object) -> Self {
        Self {
            flag: "-object",
            value: Value::Json(object),
        }
    }

    pub(crate) fn json(flag: &'static str, object: Object) -> Self {
        Self {
            flag,
            value: Value::Json(object),
        }
    }

    /// Returns the id of the device or object, or the name of the block node.
    pub fn id(&self) -> Option<&str> {
        match &self.value {
            Value::Json(object) => object.text("id").or_else(|| object.text("node-name")),
            Value::List(list) => list.text("id"),
            _ => None,
        }
    }

    /// Returns the `driver` of a `-device` or `-blockdev`, or the `qom-type` of an `-object`.
    pub fn driver(&self) -> Option<&str> {
        match &self.value {
            Value::Json(object) => object.text("driver").or_else(|| object.text("qom-type")),
            _ => None,
        }
    }

    /// Adds the wants within the option, in their order.
    fn wants<'a>(&'a self, found: &mut Vec<&'a Want>) {
        match &self.value {
            Value::Flag | Value::Word(_) => {}
            Value::Plain(term) => term.wants(found),
            Value::List(List(members)) | Value::Json(Object(members)) => {
                for (_, term) in members {
                    term.wants(found);
                }
            }
        }
    }
}

impl Term {
    fn wants<'a>(&'a self, found: &mut Vec<&'a Want>) {
        match self {
            Self::Want(want) => found.push(want),
            Self::Array(terms) | Self::Joined(terms) => {
                for term in terms {
                    term.wants(found);
                }
            }
            Self::Object(object) => {
                for (_, term) in &object.0 {
                    term.wants(found);
                }
            }
            _ => {}
        }
    }
}

/// Returns the wants of some options, each once, in the order of the options.
pub(crate) fn distinct_wants(options: &[Opt]) -> Vec<&Want> {
    let mut wants = Vec::new();
    for option in options {
        option.wants(&mut wants);
    }
    let mut seen = HashSet::new();
    wants.retain(|want| seen.insert(*want));
    wants
}

impl List {
    /// Makes a list whose head is a value without a key.
    pub(crate) fn new(head: impl Into<Term>) -> Self {
        Self(vec![("".into(), head.into())])
    }

    /// Makes a list without a head.
    pub(crate) fn headless() -> Self {
        Self::default()
    }

    pub(crate) fn with(
        mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<Term>,
    ) -> Self {
        self.0.push((key.into(), value.into()));
        self
    }

    pub(crate) fn maybe(self, key: &'static str, value: Option<impl Into<Term>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds the entries of another list at the end.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|(k, term)| match term {
            Term::Text(text) if k == key => Some(text.as_str()),
            _ => None,
        })
    }
}

impl Object {
    /// Makes a device or block node of a driver.
    pub(crate) fn driver(driver: impl Into<String>) -> Self {
        Self::default().with("driver", driver.into())
    }

    /// Makes an object of a type, with its id.
    pub(crate) fn qom(kind: &str, id: impl Into<String>) -> Self {
        Self::default().with("qom-type", kind).with("id", id.into())
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Term>) -> Self {
        self.0.push((Cow::Borrowed(key), value.into()));
        self
    }

    pub(crate) fn maybe(self, key: &'static str, value: Option<impl Into<Term>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds the members of another object at the end.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Returns the text of a member; `None` if there is no such member or it is not a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|(k, term)| match term {
            Term::Text(text) if *k == key => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Returns QEMU's word for a bool: in a list, and in JSON for a property that also takes `auto`
/// (`OnOffAuto`).
pub(crate) const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl From<bool> for Term {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Term {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<u32> for Term {
    fn from(value: u32) -> Self {
        Self::Number(value.into())
    }
}

impl From<String> for Term {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Term {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<Want> for Term {
    fn from(value: Want) -> Self {
        Self::Want(value)
    }
}

impl From<Object> for Term {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}
