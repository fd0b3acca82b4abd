//! `<qemu:commandline>` and its kin: what goes to the emulator to the letter, past all that is
//! understood here.

use crate::xml::span::SourceSpan;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<qemu:commandline>`: arguments and environment of the emulator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmulatorCommandline {
    /// Arguments, after all others.
    pub args: Vec<String>,
    /// Environment variables, besides the usual ones.
    pub env: Vec<EmulatorVariable>,
}

/// `<qemu:env>`: an environment variable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmulatorVariable {
    /// Its name.
    pub name: String,
    /// Its value; none is an empty one.
    pub value: Option<String>,
}

/// `<qemu:capabilities>`: what the emulator is to be taken to have, or not. No effect here: what it
/// has is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmulatorCapabilities {
    /// Where the element stands.
    pub span: SourceSpan,
    /// What it is taken to have.
    pub add: Vec<String>,
    /// What it is taken not to have.
    pub del: Vec<String>,
}

/// `<qemu:override>`: properties of devices that are set or left out whatever the device's element
/// says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmulatorOverride {
    /// The devices, by alias.
    pub devices: Vec<DeviceOverride>,
}

/// `<qemu:device>` of `<qemu:override>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceOverride {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Alias of the device.
    pub alias: String,
    /// Properties of the device that the guest sees.
    pub frontend: Option<Frontend>,
}

/// `<qemu:frontend>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frontend {
    /// The properties, in the order in which they are set.
    pub properties: Vec<Property>,
}

/// `<qemu:property>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub value: PropertyValue,
}

/// What becomes of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    /// It is this text.
    String(String),
    /// It is this number.
    Signed(i64),
    /// It is this number.
    Unsigned(u64),
    /// It is on or off.
    Bool(bool),
    /// It is left out.
    Remove,
}

words! {
    /// The kinds of value.
    pub enum PropertyType {
        /// A text.
        String = "string",
        /// A number that may be below zero.
        Signed = "signed",
        /// A number.
        Unsigned = "unsigned",
        /// `true` or `false`.
        Bool = "bool",
        /// None: the property is left out.
        Remove = "remove",
    }
}

words! {
    /// What the emulator does when something is used that it is going to drop.
    pub enum DeprecationBehavior {
        /// Nothing.
        None = "none",
        /// It does not show it.
        Omit = "omit",
        /// It also refuses commands that use it.
        Reject = "reject",
        /// It ends at a command that uses it.
        Crash = "crash",
    }
}

impl Default for Property {
    fn default() -> Self {
        Self {
            name: String::new(),
            value: PropertyValue::Remove,
        }
    }
}

impl PropertyValue {
    /// Returns the kind.
    pub const fn kind(&self) -> PropertyType {
        match self {
            Self::String(_) => PropertyType::String,
            Self::Signed(_) => PropertyType::Signed,
            Self::Unsigned(_) => PropertyType::Unsigned,
            Self::Bool(_) => PropertyType::Bool,
            Self::Remove => PropertyType::Remove,
        }
    }

    fn read(kind: PropertyType, text: Option<&str>) -> Option<Self> {
        Some(match (kind, text) {
            (PropertyType::Remove, None) => Self::Remove,
            (PropertyType::String, Some(text)) => Self::String(text.into()),
            (PropertyType::Signed, Some(text)) => Self::Signed(text.parse().ok()?),
            (PropertyType::Unsigned, Some(text)) => Self::Unsigned(text.parse().ok()?),
            (PropertyType::Bool, Some("true")) => Self::Bool(true),
            (PropertyType::Bool, Some("false")) => Self::Bool(false),
            _ => return None,
        })
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::String(text) => Some(text.clone()),
            Self::Signed(number) => Some(number.to_string()),
            Self::Unsigned(number) => Some(number.to_string()),
            Self::Bool(on) => Some(on.to_string()),
            Self::Remove => None,
        }
    }
}

impl Element for EmulatorCommandline {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children_word("qemu:arg", "value", &mut self.args);
        v.children("qemu:env", &mut self.env);
    }
}

impl Element for EmulatorVariable {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("name", &mut self.name);
        v.attr("value", &mut self.value);
        let ok = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.name.starts_with(|c: char| c.is_ascii_digit()) || !self.name.chars().all(ok) {
            v.error(format!(
                "the variable's name '{}' may hold only letters, digits and '_'",
                self.name
            ));
        }
    }
}

impl Element for EmulatorCapabilities {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.children_word("qemu:add", "capability", &mut self.add);
        v.children_word("qemu:del", "capability", &mut self.del);
    }
}

impl Element for EmulatorOverride {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("qemu:device", &mut self.devices);
    }
}

impl Element for DeviceOverride {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.required("alias", &mut self.alias);
        v.child("qemu:frontend", &mut self.frontend);
        if self.frontend.is_none() {
            v.error("<qemu:device> needs a <qemu:frontend> with the properties".into());
        }
    }
}

impl Element for Frontend {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("qemu:property", &mut self.properties);
    }
}

impl Element for Property {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let (mut kind, mut text) = (self.value.kind(), self.value.text());
        v.required("name", &mut self.name);
        v.required("type", &mut kind);
        v.attr("value", &mut text);
        if !v.reading() {
            return;
        }
        match PropertyValue::read(kind, text.as_deref()) {
            Some(value) => self.value = value,
            None => v.error(format!(
                "the value of the property '{}' is not of type '{kind}'",
                self.name
            )),
        }
    }
}
