//! Descriptors that the caller of the guest's manager passes.

use std::fmt;

use crate::model::backend::Backend;
use crate::model::domain::Domain;
use crate::model::iommufd::DEFAULT_IOMMUFD;
use crate::xml::span::SourceSpan;
use crate::xml::value::{Value, number};

/// Longest name in bytes, as of systemd (`FDNAME_MAX`).
const MAX_NAME: usize = 255;

/// A descriptor of the caller: its number, or the name under which the caller passes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Descriptor {
    /// Number of an open descriptor.
    Number(u32),
    /// Name of a descriptor. In an element's text, a name is one that systemd's `FDNAME=` allows,
    /// and not a number.
    Name(String),
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "'{name}'"),
        }
    }
}

/// The name of a descriptor, with the element that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorName {
    /// The name.
    pub name: String,
    /// Source position of the element.
    pub span: SourceSpan,
}

impl Value for Descriptor {
    fn read(text: &str) -> Result<Self, String> {
        if is_written_as_number(text) {
            number(text).map(Self::Number)
        } else if is_name(text) {
            Ok(Self::Name(text.into()))
        } else {
            let form = "expected a whole number, or a name of at most 255 printable ASCII \
                        characters without ':'";
            Err(form.into())
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name.clone(),
        }
    }
}

/// Returns whether a text has the form of a number, also of one that is negative or too large.
fn is_written_as_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let hex = unsigned.strip_prefix("0x").or(unsigned.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((unsigned, 10), |digits| (digits, 16));
    !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix))
}

/// Returns whether systemd takes a text as the name of a descriptor (`fdname_is_valid` in
/// src/basic/fd-util.c of systemd), and the text is not empty.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    (1..=MAX_NAME).contains(&text.len()) && bytes.all(|b| matches!(b, b' '..=b'~') && b != b':')
}

impl Domain {
    /// Returns the names under which the caller must pass descriptors for the devices of a
    /// completed domain, in the order of the document.
    pub fn descriptor_names(&self) -> Vec<DescriptorName> {
        let mut names = Vec::new();
        for hostdev in self.devices.assigned() {
            let is_passed = hostdev.pci().is_some()
                && !hostdev.is_unassigned()
                && self.backend(hostdev) == Some(Backend::Iommufd);
            if let Some(Descriptor::Name(name)) = hostdev.iommufd_fd.as_ref().filter(|_| is_passed)
            {
                names.push(DescriptorName {
                    name: name.clone(),
                    span: hostdev.info.span.clone(),
                });
            }
        }

        for object in self.iommufd_objects() {
            if let Some(Descriptor::Name(name)) = object.fd {
                let span = self.span_of_object(&object.id);
                names.push(DescriptorName { name, span });
            }
        }

        names.sort_by_key(|named| named.span.0.as_ref().map(|span| span.start));
        names
    }

    /// Returns the position of the element that has the descriptor of an iommufd object.
    fn span_of_object(&self, id: &str) -> SourceSpan {
        let mut iommus = self.devices.iommus.iter();
        let own = iommus.find(|iommu| {
            let fd = iommu
                .iommufd
                .as_ref()
                .and_then(|iommufd| iommufd.fd.as_ref());
            iommu.iommufd_id() == Some(id) && fd.is_some()
        });
        match (own, &self.iommufd) {
            (Some(iommu), _) => iommu.info.span.clone(),
            (None, Some(iommufd)) if id == DEFAULT_IOMMUFD => iommufd.span.clone(),
            _ => SourceSpan::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_number_or_a_name() {
        let name = |text: &str| Ok(Descriptor::Name(text.into()));
        assert_eq!(Descriptor::read("22"), Ok(Descriptor::Number(22)));
        assert_eq!(Descriptor::read("0x16"), Ok(Descriptor::Number(22)));
        for text in [
            "gpu",
            "2nd",
            "a=b",
            "a b",
            "0xy",
            "-",
            "~",
            &"n".repeat(255),
        ] {
            assert_eq!(Descriptor::read(text), name(text));
            assert_eq!(name(text).unwrap().write(), text);
        }
    }

    #[test]
    fn text_that_is_neither_number_nor_name_is_refused() {
        for text in ["4294967296", "0x1ffffffff", "-1", "+1"] {
            let error = Descriptor::read(text).unwrap_err();
            assert_eq!(error, "expected a whole number from 0 to 4294967295");
        }

        for text in ["", "a:b", "tür", "a\tb", "\u{7f}", &"n".repeat(256)] {
            let error = Descriptor::read(text).unwrap_err();
            assert!(error.contains("printable ASCII"), "{text}: {error}");
        }
    }
}
