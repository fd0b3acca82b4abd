//! [`Output`]: recorded output of a job.

use std::borrow::Cow;
use std::time::Instant;

/// Recorded output of a job, with the time of arrival of each piece.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Number of bytes up to the end of each piece, and the piece's time of arrival.
    pieces: Vec<(usize, Instant)>,
}

impl Output {
    pub(super) fn add(&mut self, bytes: &[u8], arrival: Instant) {
        self.bytes.extend_from_slice(bytes);
        self.pieces.push((self.bytes.len(), arrival));
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns the whole output, with invalid UTF-8 replaced.
    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Returns each line, with the time of arrival of its first byte.
    pub(super) fn lines(&self) -> impl Iterator<Item = (Instant, Cow<'_, str>)> {
        let mut pieces = self.pieces.iter();
        let mut piece = pieces.next();
        let mut begin = 0;
        self.bytes
            .split_inclusive(|&byte| byte == b'\n')
            .filter_map(move |line| {
                while piece.is_some_and(|&(end, _)| end <= begin) {
                    piece = pieces.next();
                }
                begin += line.len();
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                piece.map(|&(_, arrival)| (arrival, String::from_utf8_lossy(line)))
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn line_has_the_arrival_of_its_first_byte() {
        let begin = Instant::now();
        let mut output = Output::default();
        for (seconds, piece) in [(1, "one\ntwo"), (2, " more"), (3, "\nthree\n"), (4, "four")] {
            output.add(piece.as_bytes(), begin + Duration::from_secs(seconds));
        }
        let lines: Vec<_> = output
            .lines()
            .map(|(arrival, line)| ((arrival - begin).as_secs(), line.into_owned()))
            .collect();

        let expected = [(1, "one"), (1, "two more"), (3, "three"), (4, "four")];

        assert_eq!(lines, expected.map(|(at, line)| (at, line.to_owned())));
        assert_eq!(output.text(), "one\ntwo more\nthree\nfour");
    }
}
