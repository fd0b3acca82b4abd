//! `<qemu:commandline>` and the other elements of libvirt's namespace `qemu:`, which reach the
//! emulator unchanged.

use crate::xml::span::SourceSpan;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

/// `<qemu:commandline>`: arguments and environment of the emulator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmulatorCommandline {
    /// Arguments, placed after all others.
    pub args: Vec<String>,
    /// Environment variables in addition to the usual ones.
    pub env: Vec<EmulatorVariable>,
}

impl EmulatorCommandline {
    /// Returns the ids of the devices whose properties an argument changes:
    /// `-set device.ID.PROPERTY=VALUE`.
    pub fn set_devices(&self) -> Vec<&str> {
        let pairs = self.args.windows(2);
        let values = pairs.filter_map(|pair| match pair {
            [flag, value] if matches!(flag.as_str(), "-set" | "--set") => Some(value),
            _ => None,
        });
        let ids = values.filter_map(|value| {
            let (path, _) = value.strip_prefix("device.")?.split_once('=')?;
            Some(path.rsplit_once('.')?.0)
        });
        ids.collect()
    }
}

/// `<qemu:env>`: an environment variable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmulatorVariable {
    /// Name of the variable.
    pub name: String,
    /// Value of the variable. An absent value means an empty one.
    pub value: Option<String>,
}

/// `<qemu:capabilities>`: capabilities that the emulator is assumed to have or to lack. The element
/// has no effect: the emulator is asked for its capabilities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmulatorCapabilities {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Capabilities that the emulator is assumed to have.
    pub add: Vec<String>,
    /// Capabilities that the emulator is assumed to lack.
    pub del: Vec<String>,
}

/// `<qemu:override>`: properties of devices that override those of the device's element.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmulatorOverride {
    /// Overrides by device.
    pub devices: Vec<DeviceOverride>,
}

/// `<qemu:device>` of `<qemu:override>`: the overrides of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceOverride {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Alias of the device.
    pub alias: String,
    /// Properties of the device that the guest sees.
    pub frontend: Option<Frontend>,
}

/// `<qemu:frontend>`: overridden properties.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frontend {
    /// Properties, in the order in which they are set.
    pub properties: Vec<Property>,
}

/// `<qemu:property>`: an overridden property.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Name of the property.
    pub name: String,
    /// New value.
    pub value: PropertyValue,
}

/// The new value of an overridden property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    /// A text.
    String(String),
    /// A signed number.
    Signed(i64),
    /// An unsigned number.
    Unsigned(u64),
    /// On or off.
    Bool(bool),
    /// No value: the property is removed.
    Remove,
}

words! {
    /// The type of a property's value.
    pub enum PropertyType {
        /// A text.
        String = "string",
        /// A signed number.
        Signed = "signed",
        /// An unsigned number.
        Unsigned = "unsigned",
        /// `true` or `false`.
        Bool = "bool",
        /// No value: the property is removed.
        Remove = "remove",
    }
}

words! {
    /// The emulator's behavior at the use of a deprecated feature (`-compat`).
    pub enum DeprecationBehavior {
        /// Normal behavior.
        None = "none",
        /// Deprecated output is hidden.
        Omit = "omit",
        /// Deprecated output is hidden; deprecated input is refused.
        Reject = "reject",
        /// Deprecated output is hidden; deprecated input ends the emulator.
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
    /// Returns the type of the value.
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
        let starts_with_digit = self.name.starts_with(|c: char| c.is_ascii_digit());
        let mut bytes = self.name.bytes();
        if starts_with_digit || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
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
        let mut kind = self.value.kind();
        let mut text = self.value.text();
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
