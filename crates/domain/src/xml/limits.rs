//! What a document may be at most, checked before a tree is made of it.
//!
//! The tree parser takes time quadratic in the attributes of one element, so a hostile document
//! must be refused by a reader that takes linear time.

use crate::error::Error;
use quick_xml::events::{BytesStart, Event};

/// Bytes of a document. The largest domains in use (thousands of devices) have about one MiB.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// Attributes of one element.
pub(crate) const MAX_ATTRIBUTES: usize = 64;
/// Elements of a document. The largest domains in use have about 50,000.
pub(crate) const MAX_ELEMENTS: usize = 100_000;
/// Elements within one another.
pub(crate) const MAX_DEPTH: usize = 64;
/// Declarations of namespaces. The tree parser copies those in scope to each element that adds one.
pub(crate) const MAX_NAMESPACES: usize = 256;
/// Bytes of a text that is no XML and that the tree parser may still see, since its messages are
/// better.
const MAX_BROKEN: usize = 64 << 10;

/// Refuses a document that is larger, wider or deeper than any real domain, or has a DTD
/// (entities). What is no XML is left to the tree parser, if it is small.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(format!(
            "the document has more than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    let mut reader = quick_xml::Reader::from_str(text);
    let mut counts = Counts::default();
    loop {
        let from = position(&reader);
        let here = |e: Error| e.at(from..(from + 1).min(text.len()));
        match reader.read_event() {
            Ok(Event::Start(tag)) => counts.open(&tag).map_err(here)?,
            Ok(Event::Empty(tag)) => counts.element(&tag).map_err(here)?,
            Ok(Event::End(_)) => counts.depth = counts.depth.saturating_sub(1),
            Ok(Event::DocType(_)) => {
                return Err(here(Error::new(
                    "a document type definition (DTD) is not accepted".into(),
                )));
            }
            Err(e) if text.len() > MAX_BROKEN => {
                return Err(here(Error::new(format!("not well-formed XML: {e}"))));
            }
            Ok(Event::GeneralRef(name)) => check_reference(&name).map_err(here)?,
            Ok(Event::Eof) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
    }
}

/// What was counted so far.
#[derive(Default)]
struct Counts {
    depth: usize,
    elements: usize,
    namespaces: usize,
}

impl Counts {
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::new(format!(
                "elements are nested more than {MAX_DEPTH} deep"
            )));
        }
        self.element(tag)
    }

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
                check_reference(name)?;
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

/// Refuses the number of a character that does not exist, such as `#x110000`: the tree parser reads
/// another character in its place.
fn check_reference(name: &str) -> Result<(), Error> {
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

    /// Returns what the text is refused with.
    fn refusal(text: &str) -> String {
        Domain::parse(text).unwrap_err().to_string()
    }

    /// Returns what this check alone refuses the text with, before the tree parser sees it.
    fn refused_early(text: &str) -> String {
        check(text).unwrap_err().to_string()
    }

    #[test]
    fn reference_to_no_character_is_refused() {
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
        let read = "<domain type='kvm'><name>a&#x42;&amp;&#99;</name><memory>1</memory><os><type>hvm</type></os></domain>";
        assert_eq!(Domain::parse(read).unwrap().name.as_deref(), Some("aB&c"));
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
        let named = |length: usize| {
            format!(
                "<domain type='kvm'><name>{}</name><memory>1</memory><os><type>hvm</type></os></domain>",
                "n".repeat(length)
            )
        };
        assert!(Domain::parse(&named(224)).is_ok());
        assert!(refusal(&named(225)).contains("at most 224 bytes"));
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
    fn what_is_no_xml_does_not_reach_the_tree_parser_when_it_is_large() {
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
        // The others are that a domain needs a name, a size of memory and a system.
        let of_elements = errors
            .iter()
            .filter(|e| e.message.contains("not understood"))
            .count();
        assert_eq!(of_elements + errors.left_out(), faulty);
        assert!(errors.to_string().ends_with(" more errors"));
        // To look for a name that is alike takes much longer than all else.
        assert_eq!(errors.iter().filter(|e| e.hint.is_some()).count(), 100);
    }

    #[test]
    fn a_huge_document_is_refused() {
        assert!(refused_early(&" ".repeat(MAX_BYTES + 1)).contains("more than 16 MiB"));
    }

    #[test]
    fn entities_are_refused_before_they_grow() {
        let text = "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><domain>&b;</domain>";
        assert!(refused_early(text).contains("DTD"));
    }

    #[test]
    fn a_real_domain_passes() {
        let devices = "<rng model='virtio'><backend model='random'/></rng>".repeat(2000);
        assert_eq!(
            check(&format!("<domain><devices>{devices}</devices></domain>")),
            Ok(())
        );
    }

    #[test]
    fn broken_xml_gets_the_parsers_message_with_its_place() {
        let text = "<domain>\n  <name>x</nam>\n</domain>";
        let errors = Domain::parse(text).unwrap_err();
        let error = errors.iter().next().unwrap();
        assert!(error.message.starts_with("not well-formed XML"), "{error}");
        assert_eq!(error.line_column(text).unwrap().0, 2);
    }
}
