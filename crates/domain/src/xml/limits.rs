//! Limits of a document, checked before the tree parser runs.
//!
//! The tree parser takes time quadratic in the attributes of one element. A streaming reader takes
//! linear time, so it refuses hostile documents first.

use quick_xml::events::{BytesStart, Event};

use super::passwords::Passwords;
use crate::error::Error;

/// Most bytes of a document. The largest domains in use (thousands of devices) have about one MiB.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// Most attributes of one element.
pub(crate) const MAX_ATTRIBUTES: usize = 64;
/// Most elements of a document. The largest domains in use have about 50,000.
pub(crate) const MAX_ELEMENTS: usize = 100_000;
/// Deepest nesting of elements.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most namespace declarations. The tree parser copies all declarations in scope to each element
/// that adds one.
pub(crate) const MAX_NAMESPACES: usize = 256;
/// Most bytes of a text that is not XML and is left to the tree parser, whose messages are better.
const MAX_BROKEN: usize = 64 << 10;

/// Checks a document against the limits.
///
/// # Errors
/// - If the document is larger, wider or deeper than any real domain, the error names the limit.
/// - If the document has a DTD (which can define entities), it is refused.
/// - If a reference names a character that does not exist, the document is not well-formed.
/// - If the text is not XML and larger than 64 KiB, it is refused. The tree parser reports smaller
///   ones.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(format!(
            "the document has more than {} MiB",
            MAX_BYTES >> 20
        )));
    }

    let mut reader = quick_xml::Reader::from_str(text);
    let mut counts = Counts {
        text,
        ..Counts::default()
    };
    loop {
        let from = position(&reader);
        let checked = match reader.read_event() {
            Ok(Event::Start(tag)) => counts.open(&tag),
            Ok(Event::Empty(tag)) => counts.element(&tag),
            Ok(Event::End(_)) => {
                counts.depth = counts.depth.saturating_sub(1);
                Ok(())
            }
            Ok(Event::DocType(_)) => Err(Error::new(
                "a document type definition (DTD) is not accepted".into(),
            )),
            Err(e) if text.len() > MAX_BROKEN => {
                Err(Error::new(format!("not well-formed XML: {e}")))
            }
            Ok(Event::GeneralRef(name)) => check_reference(text, &name),
            Ok(Event::Eof) | Err(_) => return Ok(()),
            Ok(_) => Ok(()),
        };
        checked.map_err(|e| e.at(from..(from + 1).min(text.len())))?;
    }
}

/// Counts of the part of the document that was read.
#[derive(Default)]
struct Counts<'a> {
    text: &'a str,
    depth: usize,
    elements: usize,
    namespaces: usize,
}

impl Counts<'_> {
    /// Counts an element that has a separate end tag.
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::new(format!(
                "elements are nested more than {MAX_DEPTH} deep"
            )));
        }

        self.element(tag)
    }

    /// Counts an element, and checks its attributes.
    fn element(&mut self, tag: &BytesStart<'_>) -> Result<(), Error> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(Error::new(format!(
                "the document has more than {MAX_ELEMENTS} elements"
            )));
        }

        let mut attributes = tag.attributes();
        for (n, attribute) in attributes.with_checks(false).enumerate() {
            if n == MAX_ATTRIBUTES {
                return Err(Error::new(format!(
                    "the element has more than {MAX_ATTRIBUTES} attributes"
                )));
            }
            let Ok(attribute) = attribute else { continue };
            self.namespaces += usize::from(attribute.key.as_ref().starts_with("xmlns"));
            let references = attribute
                .value
                .split('&')
                .skip(1)
                .filter_map(|rest| rest.split_once(';'));
            for (name, _) in references {
                check_reference(self.text, name)?;
            }
        }

        if self.namespaces > MAX_NAMESPACES {
            return Err(Error::new(format!(
                "the document declares more than {MAX_NAMESPACES} namespaces"
            )));
        }

        Ok(())
    }
}

/// Checks that a character reference names a character. For `#x110000`, which does not, the tree
/// parser would read another character. The error shows no reference of a password in `text`.
fn check_reference(text: &str, name: &str) -> Result<(), Error> {
    let Some(number) = name.strip_prefix('#') else {
        return Ok(());
    };
    let number = match number.strip_prefix('x') {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
        None => number.parse(),
    };
    if number.is_ok_and(|number| char::from_u32(number).is_some()) {
        return Ok(());
    }
    if Passwords::find(text).have_reference(text, name) {
        let message = "not well-formed XML: a password names a character that does not exist";
        return Err(Error::new(message.into()));
    }

    let shown: String = name.chars().take(20).collect();
    Err(Error::new(format!(
        "not well-formed XML: there is no character &{shown};"
    )))
}

fn position(reader: &quick_xml::Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::domain::Domain;

    /// Returns the error of parsing the text.
    fn refusal(text: &str) -> String {
        Domain::parse(text).unwrap_err().to_string()
    }

    /// Returns the error of the limits alone, before the tree parser runs.
    fn refused_early(text: &str) -> String {
        check(text).unwrap_err().to_string()
    }

    /// Returns a domain of this name.
    fn named(name: &str) -> String {
        format!(
            "<domain type='kvm'><name>{name}</name><memory>1</memory>\
             <os><type>hvm</type></os></domain>"
        )
    }

    #[test]
    fn reference_to_a_missing_character_is_refused() {
        for reference in ["&#x110000;", "&#1114112;", "&#xD800;", "&#99999999999;"] {
            let in_text = format!("<domain><name>{reference}</name></domain>");
            assert!(
                refusal(&in_text).contains("there is no character"),
                "{reference}"
            );
            let in_value = format!("<domain type='{reference}'/>");
            assert!(
                refusal(&in_value).contains("there is no character"),
                "{reference}"
            );
        }

        let domain = Domain::parse(&named("a&#x42;&amp;&#99;")).unwrap();
        assert_eq!(domain.name.as_deref(), Some("aB&c"));
    }

    #[test]
    fn value_of_15_mib_is_not_echoed() {
        let value = "x".repeat(15 << 20);
        for text in [
            format!("<domain type='{value}'/>"),
            format!("<domain><name>a</name><{value}/></domain>"),
            format!("<domain type='kvm'><name>{value}</name></domain>"),
            format!("<domain type='kvm' {value}='1'><name>a</name></domain>"),
            format!("<domain type='kvm'><devices><disk rawio='{value}'/></devices></domain>"),
        ] {
            let refused = Domain::parse(&text).unwrap_err().to_string();
            assert!(
                refused.len() < 20_000 && refused.contains("bytes left out"),
                "{}",
                refused.len()
            );
        }
    }

    #[test]
    fn name_too_long_for_its_folder_is_refused() {
        assert!(Domain::parse(&named(&"n".repeat(224))).is_ok());
        assert!(refusal(&named(&"n".repeat(225))).contains("at most 224 bytes"));
    }

    #[test]
    fn name_with_a_control_character_is_refused() {
        for character in ["&#10;", "&#x9b;", "&#x7f;", "&#x85;"] {
            let text = format!("<domain type='kvm'><name>a{character}b</name></domain>");
            assert!(
                refusal(&text).contains("without a slash or control character"),
                "{character}"
            );
        }
    }

    #[test]
    fn many_attributes_are_refused_before_the_tree() {
        let attributes: String = (0..100_000).map(|n| format!(" a{n}=''")).collect();
        assert!(
            refused_early(&format!("<domain{attributes}/>")).contains("more than 64 attributes")
        );
    }

    #[test]
    fn deep_nesting_is_refused_without_overflowing_the_stack() {
        let text = format!("{}{}", "<a>".repeat(500_000), "</a>".repeat(500_000));
        assert!(refused_early(&text).contains("nested more than 64 deep"));
    }

    #[test]
    fn many_elements_are_refused() {
        let text = format!("<domain>{}</domain>", "<a/>".repeat(MAX_ELEMENTS));
        assert!(refused_early(&text).contains("more than 100000 elements"));
    }

    #[test]
    fn many_namespaces_are_refused() {
        let declared: String = (0..300)
            .map(|n| format!("<a xmlns:n{n}='urn:{n}'/>"))
            .collect();
        let text = format!("<domain>{declared}</domain>");
        assert!(refused_early(&text).contains("more than 256 namespaces"));
    }

    #[test]
    fn large_text_that_is_not_xml_is_refused_before_the_tree() {
        let attributes: String = (0..100_000).map(|n| format!(" a{n}=''")).collect();
        let refused = refused_early(&format!("<domain></wrong><a{attributes}/></domain>"));
        assert!(refused.contains("not well-formed XML"), "{refused}");
    }

    #[test]
    fn faulty_elements_are_counted_and_few_get_a_suggestion() {
        let faulty = MAX_ELEMENTS - 2;
        let text = "<memballo/>".repeat(faulty);
        let errors =
            Domain::parse(&format!("<domain><devices>{text}</devices></domain>")).unwrap_err();
        assert_eq!(errors.iter().len(), 1000);

        // The other errors are the missing name, memory and system of the domain.
        let of_elements = errors
            .iter()
            .filter(|e| e.message.contains("not understood"))
            .count();
        assert_eq!(of_elements + errors.left_out(), faulty);
        assert!(errors.to_string().ends_with(" more errors"));
        // A search for a similar name takes much longer than the rest.
        assert_eq!(errors.iter().filter(|e| e.hint.is_some()).count(), 100);
    }

    #[test]
    fn document_above_16_mib_is_refused() {
        assert!(refused_early(&" ".repeat(MAX_BYTES + 1)).contains("more than 16 MiB"));
    }

    #[test]
    fn document_type_definition_is_refused() {
        let text = "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><domain>&b;</domain>";
        assert!(refused_early(text).contains("DTD"));
    }

    #[test]
    fn domain_with_2000_devices_passes() {
        let devices = "<rng model='virtio'><backend model='random'/></rng>".repeat(2000);
        assert_eq!(
            check(&format!("<domain><devices>{devices}</devices></domain>")),
            Ok(())
        );
    }

    #[test]
    fn broken_xml_has_the_parsers_message_and_its_position() {
        let text = "<domain>\n  <name>x</nam>\n</domain>";
        let errors = Domain::parse(text).unwrap_err();
        let error = errors.iter().next().unwrap();
        assert!(error.message.starts_with("not well-formed XML"), "{error}");
        assert_eq!(error.line_column(text).unwrap().0, 2);
    }
}
