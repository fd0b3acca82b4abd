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
/// Elements within one another.
pub(crate) const MAX_DEPTH: usize = 64;

/// Refuses a document that is larger, wider or deeper than any real domain, or has a DTD (entities).
/// What is no XML at all is left to the tree parser, whose messages are better.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(format!(
            "the document has {} bytes; at most {MAX_BYTES} are read",
            text.len()
        )));
    }
    let mut reader = quick_xml::Reader::from_str(text);
    let mut depth = 0usize;
    loop {
        let from = position(&reader);
        match reader.read_event() {
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
