//! A writer of cpio archives in the `newc` format, which the kernel takes as an initrd.

/// An archive in the making.
#[derive(Default)]
pub(super) struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

impl Cpio {
    pub(super) fn folder(mut self, path: &str) -> Self {
        self.entry(path, 0o040_755, &[]);
        self
    }

    /// Adds an executable file.
    pub(super) fn program(mut self, path: &str, contents: &[u8]) -> Self {
        self.entry(path, 0o100_755, contents);
        self
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let name_size = path.len() + 1;
        // inode, mode, uid, gid, links, mtime, size, device (2), node's device (2), name size,
        // checksum
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            contents.len() as u32,
            0,
            0,
            0,
            0,
            name_size as u32,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }

        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_starts_with_an_entry_and_ends_with_a_trailer() {
        let bytes = Cpio::default()
            .folder("bin")
            .program("init", b"#!x")
            .finish();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert!(text.starts_with("07070100000001000041ed"), "{text}");
        assert!(text.contains("init\0\0#!x\x00070701"), "{text:?}");
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
    }
}
