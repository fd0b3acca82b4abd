//! Values of attributes and text: words, numbers, names.

use std::fmt::Display;
use std::str::FromStr;

/// A value that stands in an attribute or as an element's text.
pub(crate) trait Value: Sized {
    /// Reads the value from its text.
    ///
    /// # Errors
    /// If the text is not a value, the error describes the expected form. It does not repeat the
    /// text.
    fn read(text: &str) -> Result<Self, String>;

    /// Returns the value's text, spelled as libvirt spells it.
    fn write(&self) -> String;
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn write(&self) -> String {
        self.clone()
    }
}

/// Reads a number as C's `strtoul(…, 0)` does: `0x` for hexadecimal, else decimal.
pub(crate) fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with('+') => None,
        None => u64::from_str(text).ok(),
    };
    parsed
        .and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| format!("expected a whole number from 0 to {}", max_of::<T>()))
}

/// Returns the largest number that the unsigned type holds.
fn max_of<T>() -> u128 {
    (1u128 << (8 * size_of::<T>())) - 1
}

macro_rules! numbers {
    ($($t:ty),+) => {$(
        impl Value for $t {
            fn read(text: &str) -> Result<Self, String> {
                number(text)
            }

            fn write(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
numbers!(u8, u16, u32, u64);

/// A number that is written as `0x` with at least `WIDTH` hexadecimal digits, as in PCI addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hex<T, const WIDTH: usize>(pub(crate) T);

impl<T: TryFrom<u64> + Copy + Into<u64>, const WIDTH: usize> Value for Hex<T, WIDTH> {
    fn read(text: &str) -> Result<Self, String> {
        number(text).map(Self)
    }

    fn write(&self) -> String {
        format!("0x{:0WIDTH$x}", self.0.into())
    }
}

/// Defines an enum of words: each variant has one word that stands for it in the document.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[$vmeta])* #[doc = concat!("`", $word, "`")] $variant),+
        }

        impl $name {
            /// All values, in the order of the definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the word that stands for the value in the domain XML.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::xml::value::Value for $name {
            fn read(text: &str) -> Result<Self, String> {
                let known = Self::ALL.iter().copied().find(|v| v.as_str() == text);
                let words = Self::ALL.iter().map(|v| v.as_str());
                known.ok_or_else(|| $crate::xml::value::expected_one_of(text, words))
            }

            fn write(&self) -> String {
                self.as_str().into()
            }
        }
    };
}
pub(crate) use words;

/// Returns the error for an unknown word: it lists the known words and suggests the nearest.
pub(crate) fn expected_one_of<'a>(
    text: &str,
    words: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let known = words
        .clone()
        .map(|w| format!("'{w}'"))
        .collect::<Vec<_>>()
        .join(", ");
    match super::suggest::nearest(text, words) {
        Some(near) => format!("did you mean '{near}'? Known are {known}"),
        None => format!("known are {known}"),
    }
}

/// Implements [`Value`] for a type by its `FromStr` and `Display`.
macro_rules! value_by_display {
    ($($t:ty),+) => {$(
        impl $crate::xml::value::Value for $t {
            fn read(text: &str) -> Result<Self, String> {
                $crate::xml::value::from_str(text)
            }

            fn write(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
pub(crate) use value_by_display;

/// Reads a value by its `FromStr`; the error is the parser's message.
pub(crate) fn from_str<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: T::Err| e.to_string())
}
