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

/// Refuses a document that is larger, wider or deeper than any real domain, or has a DTD (entities).
/// What is no XML at all is left to the tree parser, whose messages are better.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(format!("the document has more than {} MiB", MAX_BYTES >> 20)));
    }
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut depth, mut elements) = (0usize, 0usize);
    loop {
        let from = position(&reader);
        let event = reader.read_event();
        elements += usize::from(matches!(event, Ok(Event::Start(_) | Event::Empty(_))));
        if elements > MAX_ELEMENTS {
            let message = format!("the document has more than {MAX_ELEMENTS} elements");
            return Err(Error::new(message).at(from..from + 1));
        }
        match event {
            Ok(Event::Start(tag)) => {
                depth += 1;
                attributes(&tag, from)?;
                if depth > MAX_DEPTH {
                    return Err(Error::new(format!("elements are nested more than {MAX_DEPTH} deep"))
                        .at(from..from + 1));
                }
            }
            Ok(Event::Empty(tag)) => attributes(&tag, from)?,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::DocType(_)) => {
                return Err(
                    Error::new("a document type definition (DTD) is not accepted".into()).at(from..from + 1)
                );
            }
            Ok(Event::Eof) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
    }
}

fn position(reader: &quick_xml::Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn attributes(tag: &BytesStart<'_>, from: usize) -> Result<(), Error> {
    let many = tag.attributes().with_checks(false).take(MAX_ATTRIBUTES + 1).count();
    if many > MAX_ATTRIBUTES {
        let message = format!("the element has more than {MAX_ATTRIBUTES} attributes");
        return Err(Error::new(message).at(from..from + 1));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Domain;
    use std::time::{Duration, Instant};

    /// Returns what the text is refused with. It must not take long.
    fn refusal(text: &str) -> String {
        let start = Instant::now();
        let errors = Domain::parse(text).unwrap_err().to_string();
        assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
        errors
    }

    #[test]
    fn many_attributes_are_refused_fast() {
        let attributes: String = (0..100_000).map(|n| format!(" a{n}=''")).collect();
        assert!(refusal(&format!("<domain{attributes}/>")).contains("more than 64 attributes"));
    }

    #[test]
    fn deep_nesting_is_refused_without_overflowing_the_stack() {
        let text = format!("{}{}", "<a>".repeat(500_000), "</a>".repeat(500_000));
        assert!(refusal(&text).contains("nested more than 64 deep"));
    }

    #[test]
    fn many_elements_are_refused() {
        let text = format!("<domain>{}</domain>", "<a/>".repeat(MAX_ELEMENTS));
        assert!(refusal(&text).contains("more than 100000 elements"));
    }

    #[test]
    fn a_huge_document_is_refused() {
        assert!(refusal(&" ".repeat(MAX_BYTES + 1)).contains("more than 16 MiB"));
    }

    #[test]
    fn entities_are_refused_before_they_grow() {
        let text = "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><domain>&b;</domain>";
        assert!(refusal(text).contains("DTD"));
    }

    #[test]
    fn a_real_domain_passes() {
        let devices = "<rng model='virtio'><backend model='random'/></rng>".repeat(2000);
        assert_eq!(check(&format!("<domain><devices>{devices}</devices></domain>")), Ok(()));
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
