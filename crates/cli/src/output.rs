//! Standard output.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::Error;
use crate::exit::Code;

/// Failure to write to standard output.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct Unwritable(#[source] io::Error);

/// Prints a text to standard output. A closed pipe (`| head`) is not an error.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(Code::Failure, Unwritable(e)))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON. Characters that can change what a terminal shows are escaped: texts of
/// VMMs are among the values.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::new(Code::Failure, e))?;
    print(&(escaped(&text) + "\n"))
}

/// Escapes control characters that JSON permits, and those that reorder text.
pub(crate) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_direction_mark(c) || (c.is_control() && c != '\n') {
            text += &format!("\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }

    text
}

/// Returns whether a character changes the direction of the text around it.
const fn is_direction_mark(c: char) -> bool {
    matches!(
        c,
        '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_json_are_escaped() {
        let json = serde_json::json!({ "text": "a\u{9b}2J\u{202e}\u{7f}" }).to_string();
        let text = escaped(&json);
        assert_eq!(text, r#"{"text":"a\u009b2J\u202e\u007f"}"#);
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["text"], "a\u{9b}2J\u{202e}\u{7f}");
    }
}
