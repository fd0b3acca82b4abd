//! Errors of texts that are not well-formed.

use std::ops::Range;

use roxmltree::TextPos;

use super::passwords::Passwords;
use crate::error::Error;

/// Returns the error for a text that is not well-formed, without the passwords in it.
pub(crate) fn syntax_error(xml: &str, error: &roxmltree::Error) -> Error {
    use roxmltree::Error::{
        InvalidChar, InvalidChar2, UnexpectedEndOfStream, UnknownEntityReference,
    };
    let passwords = Passwords::find(xml);
    let start = offset_of(xml, error.pos());
    let end = (start + 1).min(xml.len());
    let (text, at) = match error {
        // A value ends with the quote that began it, and holds neither that quote nor a '<'.
        InvalidChar(quote @ (b'"' | b'\''), b'<', _) => (
            "the attribute's closing quote is missing".to_owned(),
            last_quoted(xml, start, char::from(*quote)),
        ),
        InvalidChar2("a whitespace", ..) if xml[..start].ends_with(['"', '\'']) => (
            "text follows the closing quote of an attribute: an earlier quote may be missing"
                .to_owned(),
            start..end,
        ),
        UnexpectedEndOfStream => ("the text ends too early".to_owned(), xml.len()..xml.len()),
        UnknownEntityReference(name, _) if passwords.have_reference(xml, name) => {
            (in_password(error), start..end)
        }
        _ if passwords.contain(start) => (in_password(error), start..end),
        _ => (without_position(error), start..end),
    };
    Error::new(format!("not well-formed XML: {text}")).at(at)
}

/// Returns the message of a syntax error in a password, of which it shows nothing.
fn in_password(error: &roxmltree::Error) -> String {
    use roxmltree::Error::{
        EntityReferenceLoop, InvalidChar2, MalformedEntityReference, UnknownEntityReference,
    };
    match error {
        UnknownEntityReference(..) | MalformedEntityReference(_) | EntityReferenceLoop(_) => {
            "a password has an '&' without a known reference: write it as '&amp;'"
        }
        InvalidChar2("a quote", ..) => "the value of a password has no quotation marks",
        _ => "a password has a character that XML does not permit there",
    }
    .to_owned()
}

/// Returns the offset of a position, which counts lines and characters from 1.
fn offset_of(xml: &str, position: TextPos) -> usize {
    let lines_before = position.row.saturating_sub(1) as usize;
    let line_start: usize = xml
        .split_inclusive('\n')
        .take(lines_before)
        .map(str::len)
        .sum();
    let line = &xml[line_start..];
    let characters_before = position.col.saturating_sub(1) as usize;
    let column = line
        .char_indices()
        .nth(characters_before)
        .map_or(line.len(), |(at, _)| at);
    line_start + column
}

/// Returns the range from the last quote before `end` to the end of that quote's line.
fn last_quoted(xml: &str, end: usize, quote: char) -> Range<usize> {
    let before = &xml[..end];
    let opening = before.rfind(quote).unwrap_or(end);
    let line = before[opening..].lines().next().unwrap_or("");
    opening..opening + line.trim_end().len()
}

/// Returns the message of an error without the position at its end, which the span gives already.
fn without_position(error: &roxmltree::Error) -> String {
    let text = error.to_string();
    let suffix = format!(" at {}", error.pos());
    text.strip_suffix(&suffix).unwrap_or(&text).to_owned()
}
