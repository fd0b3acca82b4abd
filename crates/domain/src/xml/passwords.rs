//! Passwords in a document, which no message may show.
//!
//! The text may be wrong in any way: a password is found by the name before it, not by a parser.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use quick_xml::escape::unescape;

/// Parts of the names of attributes and elements that hold a password, in lower case.
const PASSWORD_PARTS: [&str; 4] = ["pass", "pasw", "pswd", "pwd"];
/// Parts of such names that hold something else: `passthrough`, `bypass_iommu`, `passwdValidTo`.
const OTHER_PARTS: [&str; 3] = ["passthr", "bypass", "validto"];
/// Quotation marks of XML.
const QUOTES: [char; 2] = ['\'', '"'];
/// Shortest value that [`Passwords::hide`] looks for. Shorter ones are words of messages too.
const MIN_HIDDEN: usize = 4;
/// Most values that [`Passwords::hide`] looks for. No domain has as many screens.
const MAX_HIDDEN: usize = 1000;

/// The passwords in the text of a document.
#[derive(Clone, Default)]
pub struct Passwords {
    /// Places in bytes, by position.
    ranges: Vec<Range<usize>>,
    /// Values as they are written and as they are read, cut at quotation marks.
    values: HashSet<String>,
}

impl Passwords {
    /// Finds the values of attributes and the texts of elements whose name holds `pass` or `pwd`,
    /// in upper or lower case. A value without quotation marks ends at a blank, `>` or `/>`.
    pub fn find(text: &str) -> Self {
        let ranges = in_document(text);
        let mut values = HashSet::new();
        for range in &ranges {
            let raw = text.get(range.clone()).unwrap_or("");
            let read = unescape(raw).unwrap_or(Cow::Borrowed(raw));
            for value in raw.split(QUOTES).chain(read.split(QUOTES)) {
                if value.len() >= MIN_HIDDEN && values.len() < MAX_HIDDEN {
                    values.insert(value.to_owned());
                }
            }
        }

        Self { ranges, values }
    }

    /// Returns the document's text with masked passwords, or `None` if it has none. Each character
    /// keeps its place in bytes and in characters.
    pub fn mask(&self, text: &str) -> Option<String> {
        (!self.ranges.is_empty()).then(|| masked(text, &self.ranges))
    }

    /// Returns a message about the document, with each quoted part masked that is a password of at
    /// least 4 bytes.
    pub fn hide<'a>(&self, message: &'a str) -> Cow<'a, str> {
        if !message.split(QUOTES).any(|part| self.values.contains(part)) {
            return message.into();
        }
        let mut hidden = String::with_capacity(message.len());
        for part in message.split_inclusive(QUOTES) {
            let value = part.trim_end_matches(QUOTES);
            if self.values.contains(value) {
                hidden.extend(value.chars().map(mask));
                hidden.push_str(&part[value.len()..]);
            } else {
                hidden.push_str(part);
            }
        }

        hidden.into()
    }

    /// Returns whether an offset of the document lies in a password.
    pub(crate) fn contain(&self, offset: usize) -> bool {
        self.ranges.iter().any(|range| range.contains(&offset))
    }

    /// Returns whether the document `text` has the reference `&name;` in a password.
    pub(crate) fn have_reference(&self, text: &str, name: &str) -> bool {
        let reference = format!("&{name};");
        let mut values = self
            .ranges
            .iter()
            .filter_map(|range| text.get(range.clone()));
        values.any(|value| value.contains(&reference))
    }
}

/// Returns a message with the values of password attributes masked, if it quotes any.
pub(crate) fn without_passwords(message: String) -> String {
    if !message.contains('=') {
        return message;
    }
    let mut ranges = Vec::new();
    for (sign, _) in message.match_indices('=') {
        let is_inside = ranges.last().is_some_and(|last: &Range<_>| sign < last.end);
        if !is_inside && is_password(name_before(&message[..sign])) {
            ranges.extend(value_ranges(&message, sign + 1));
        }
    }

    if ranges.is_empty() {
        message
    } else {
        masked(&message, &ranges)
    }
}

/// Returns the places of all passwords in a document, by position.
fn in_document(text: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    // End of the start tag of an element that is a password: all of its attributes are.
    let mut tag_end = 0;
    while let Some(found) = text[at..].find(['=', '<', '\'', '"']) {
        let sign = at + found;
        at = sign + 1;
        let before = &text[..sign];
        let value = match text[sign..].chars().next() {
            Some('<') => {
                if is_password(name_after(&text[at..])) {
                    tag_end = text[at..]
                        .find(['<', '>'])
                        .map_or(text.len(), |end| at + end);
                    ranges.extend(content(text, tag_end));
                }
                continue;
            }
            Some('=') => at,
            // The equals sign is missing.
            _ if before.ends_with(char::is_whitespace) => sign,
            _ => continue,
        };
        if sign < tag_end || is_password(name_before(before)) {
            let found = value_ranges(text, value);
            at = found.last().map_or(at, |last| last.end.max(at));
            ranges.extend(found);
        }
    }

    ranges.sort_by_key(|range| range.start);
    ranges
}

/// Returns the place of the text behind a start tag, up to the next tag. `tag_end` is the place of
/// the `>`, if there is one.
fn content(text: &str, tag_end: usize) -> Option<Range<usize>> {
    let rest = text.get(tag_end..)?.strip_prefix('>')?;
    let content = &rest[..rest.find('<').unwrap_or(rest.len())];
    let value = content.trim();
    let start = tag_end + 1 + content.len() - content.trim_start().len();
    (!value.is_empty()).then(|| start..start + value.len())
}

/// Returns the places of the value behind an equals sign. What follows the closing quotation mark
/// without a blank belongs to a value that holds such a mark.
fn value_ranges(text: &str, after_sign: usize) -> Vec<Range<usize>> {
    let value = text[after_sign..].trim_start();
    let start = text.len() - value.len();
    let mut ranges = Vec::new();
    let Some(quote) = value.chars().next().filter(|c| QUOTES.contains(c)) else {
        ranges.push(start..unquoted_end(text, start));
        return ranges;
    };

    let body = start + 1;
    let length = text[body..].find(quote);
    let end = length.map_or(text.len(), |length| body + length);
    ranges.push(body..end);
    if length.is_some() {
        ranges.push(end + 1..unquoted_end(text, end + 1));
    }
    ranges.retain(|range| !range.is_empty());
    ranges
}

/// Returns the end of a value without quotation marks. Such a mark at the end, with or without
/// punctuation behind it, belongs to the text around the value.
fn unquoted_end(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    let mut end = rest.len();
    for (at, c) in rest.char_indices() {
        let closes_tag = c == '/' && rest[at + 1..].starts_with('>');
        if c.is_whitespace() || matches!(c, '<' | '>') || closes_tag {
            end = at;
            break;
        }
    }

    let value = &rest[..end];
    let without_punctuation = value.trim_end_matches([':', ';', ',', '.', ')']);
    if without_punctuation.ends_with(QUOTES) {
        start + without_punctuation.trim_end_matches(QUOTES).len()
    } else {
        start + end
    }
}

fn is_password(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PASSWORD_PARTS.iter().any(|part| name.contains(part))
        && !OTHER_PARTS.iter().any(|part| name.contains(part))
}

/// Returns the name at the end of a text, before blanks.
fn name_before(text: &str) -> &str {
    let text = text.trim_end();
    &text[text.trim_end_matches(is_in_name).len()..]
}

/// Returns the name at the start of a text.
fn name_after(text: &str) -> &str {
    &text[..text.len() - text.trim_start_matches(is_in_name).len()]
}

fn is_in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')
}

/// Masks ranges of a text, which are sorted by their start.
fn masked(text: &str, ranges: &[Range<usize>]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        let start = range.start.max(at);
        let end = range.end.max(at);
        masked.push_str(&text[at..start]);
        masked.extend(text[start..end].chars().map(mask));
        at = end;
    }

    masked.push_str(&text[at..]);
    masked
}

/// Returns a character of as many bytes that stands for one of a password.
const fn mask(of: char) -> char {
    match of.len_utf8() {
        _ if of == '\n' => of,
        1 => '*',
        2 => '\u{b7}',
        3 => '\u{2022}',
        _ => '\u{1f784}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_in_their_places() {
        for (text, shown) in [
            ("<a passwd='velvet' b='c'/>", "<a passwd='******' b='c'/>"),
            ("<a passwd = \"v'v\"/>", "<a passwd = \"***\"/>"),
            ("<a passwd='vé€😀v'/>", "<a passwd='*·•🞄*'/>"),
            ("<a passwd='v\nv'/>", "<a passwd='*\n*'/>"),
            (
                "passwd='v' Password='w' passwd",
                "passwd='*' Password='*' passwd",
            ),
            ("<a passwd='velvet", "<a passwd='******"),
            ("<a passwd='vel b='c'/>", "<a passwd='******'*'/>"),
            ("<a passwd='vel'vet' b='c'/>", "<a passwd='***'***' b='c'/>"),
            ("<a passwd=velvet b='c'/>", "<a passwd=****** b='c'/>"),
            ("<a PASSPHRASE=vel/vet/>", "<a PASSPHRASE=*******/>"),
            ("<a xml:pwd=velvet>", "<a xml:pwd=******>"),
            (
                "<a b='-vnc :1,password=velvet'/>",
                "<a b='-vnc :1,password=******'/>",
            ),
            ("<b> passwd='velvet'</b>", "<b> passwd='******'</b>"),
            ("<passwd>velvet </passwd>", "<passwd>****** </passwd>"),
            (
                "<Passwd value='v'/> <b>c</b>",
                "<Passwd value='*'/> <b>c</b>",
            ),
            ("<a passwd 'velvet'/>", "<a passwd '******'/>"),
            ("<password", "<password"),
            ("<passwd <b>c</b>", "<passwd <b>c</b>"),
        ] {
            let found = Passwords::find(text);
            let masked = found.mask(text);
            assert_eq!(masked.as_deref().unwrap_or(text), shown);
            assert_eq!(shown.len(), text.len());
        }
    }

    #[test]
    fn other_names_are_not_masked() {
        for text in [
            "<a b='c'/>",
            "<a passwdValidTo='2031' passwd=''/>",
            "<cpu mode='host-passthrough' check='none'/>",
            "<passthrough state='on'/>",
            "<source file='/etc/passwd' b='c'/>",
            "<driver bypass_iommu='on'/>",
        ] {
            assert_eq!(Passwords::find(text).mask(text), None, "{text}");
        }
    }

    #[test]
    fn message_does_not_quote_a_password() {
        let found = Passwords::find("<a passwd='velvet' pwd='a&amp;\"bcde'/>");
        for (message, shown) in [
            (
                "'b' is 'velvet': expected 'c'",
                "'b' is '******': expected 'c'",
            ),
            ("'b' is 'bcde'", "'b' is '****'"),
            (
                "the velvet password is 'vel'",
                "the velvet password is 'vel'",
            ),
        ] {
            assert_eq!(found.hide(message), shown);
        }
    }

    #[test]
    fn quoted_text_with_a_password_is_masked_once() {
        for (message, shown) in [
            ("holds 'passwd='velvet''", "holds 'passwd='******''"),
            (
                "is 'a passwd=velvet': expected 'b'",
                "is 'a passwd=******': expected 'b'",
            ),
            (
                "is 'Pwd=\"a\"': expected 'b'",
                "is 'Pwd=\"*\"': expected 'b'",
            ),
            ("use connected='keep'", "use connected='keep'"),
        ] {
            let once = without_passwords(message.into());
            assert_eq!(once, shown);
            assert_eq!(without_passwords(once.clone()), once);
        }
    }
}
