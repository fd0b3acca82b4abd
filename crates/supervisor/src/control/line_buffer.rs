//! Lines of a stream, and the part of a line that has come so far.

/// Bytes that came and were not taken yet.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    /// Length of the part that is known to hold no line end.
    searched: usize,
    /// Length of the first line without its line end, once it is there.
    line: Option<usize>,
}

impl LineBuffer {
    /// Adds bytes that came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.search();
    }

    /// Returns whether a whole line is there.
    pub(super) const fn has_line(&self) -> bool {
        self.line.is_some()
    }

    /// Returns the length of the first line in bytes, or of the part that is there.
    pub(super) fn line_length(&self) -> usize {
        self.line.unwrap_or(self.bytes.len())
    }

    /// Takes the first line, without its line end.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let length = self.line.take()?;
        let rest = self.bytes.split_off(length + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        line.truncate(length);
        self.searched = 0;
        self.search();
        Some(line)
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Looks for the end of the first line that is not empty, and drops the empty ones.
    fn search(&mut self) {
        if self.line.is_some() {
            return;
        }
        let mut start = 0;
        let mut unseen = self.searched;
        while let Some(at) = self.bytes[unseen..].iter().position(|byte| *byte == b'\n') {
            let end = unseen + at;
            if !self.bytes[start..end].trim_ascii().is_empty() {
                self.line = Some(end - start);
                break;
            }
            start = end + 1;
            unseen = start;
        }

        // All empty lines go at once: a client may send many.
        self.bytes.drain(..start);
        self.searched = self.bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_waits_for_its_end() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"{\"comm");

        assert!(!buffer.has_line());
        assert_eq!((buffer.take(), buffer.line_length()), (None, 6));

        buffer.push(b"and\":1}\nnext");

        assert_eq!(buffer.line_length(), 13);
        assert_eq!(buffer.take().unwrap(), b"{\"command\":1}");
        assert_eq!((buffer.take(), buffer.line_length()), (None, 4));

        buffer.push(b"\n");

        assert_eq!(buffer.take().unwrap(), b"next");
    }

    #[test]
    fn empty_lines_are_dropped() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"\n \r\n\na\n\n\nb\n\n");
        assert_eq!(buffer.take().unwrap(), b"a");
        assert_eq!(buffer.take().unwrap(), b"b");
        assert_eq!((buffer.take(), buffer.line_length()), (None, 0));
    }
}
