//! Lines of a stream that is not trusted.

use passthru_qemu::printable;

/// Longest line, in bytes. The rest of a longer line becomes the next line.
pub(super) const MAX_LINE: usize = 2 << 10;

/// The part of a line that has come so far.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    partial: Vec<u8>,
}

impl LineSplitter {
    /// Adds bytes. Returns the lines that end in them, escaped and without empty ones.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = MAX_LINE - self.partial.len();
            let part = &rest[..rest.len().min(room)];
            let end = part.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(part.len());
            self.partial.extend_from_slice(&part[..taken]);
            rest = &rest[taken + usize::from(end.is_some())..];
            if end.is_some() || self.partial.len() == MAX_LINE {
                lines.extend(self.finish());
            }
        }

        lines
    }

    /// Takes the part of a line that has come so far, as a line; `None` if it is empty.
    pub(super) fn finish(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(self.partial.trim_ascii_end());
        let line = printable(&line, usize::MAX);
        self.partial.clear();
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_in_parts_is_one_line() {
        let mut splitter = LineSplitter::default();
        assert!(splitter.push(b"qemu: no").is_empty());
        assert_eq!(splitter.push(b"thing\r\n\n \nnext"), ["qemu: nothing"]);
        assert_eq!(splitter.finish().unwrap(), "next");
        assert_eq!(splitter.finish(), None);
    }

    #[test]
    fn control_characters_are_escaped() {
        let mut splitter = LineSplitter::default();
        let lines = splitter.push("\x1b]0;owned\x07 \u{9b}2J\n\u{202e}x\n".as_bytes());
        assert_eq!(lines, ["\\u{1b}]0;owned\\u{7} \\u{9b}2J", "\\u{202e}x"]);
    }

    #[test]
    fn long_line_is_cut_into_lines() {
        let mut splitter = LineSplitter::default();
        let lines = splitter.push(&vec![b'x'; 2 * MAX_LINE + 1]);
        assert_eq!(lines, ["x".repeat(MAX_LINE), "x".repeat(MAX_LINE)]);
        assert_eq!(splitter.push(b"\n"), ["x"]);
    }

    #[test]
    fn line_end_after_a_full_line_is_not_a_line() {
        let mut splitter = LineSplitter::default();
        let mut bytes = vec![b'x'; MAX_LINE];
        bytes.extend_from_slice(b"\ny\n");
        assert_eq!(splitter.push(&bytes), ["x".repeat(MAX_LINE), "y".into()]);
    }
}
