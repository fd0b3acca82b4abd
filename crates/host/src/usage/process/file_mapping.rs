//! Mappings of files into the memory of a process.

/// A line of `/proc/PID/maps` for a file with a path.
pub(super) struct FileMapping<'t> {
    /// Name of the mapping in `map_files`.
    pub(super) range: String,
    /// Device, inode and path, which identify the file.
    pub(super) file: &'t str,
}

impl<'t> FileMapping<'t> {
    /// Parses `START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH`.
    pub(super) fn parse(line: &'t str) -> Option<Self> {
        let mut fields = line.splitn(4, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let file = fields.nth(2)?;
        let path = file.splitn(3, ' ').nth(2)?.trim_start();
        if !path.starts_with('/') {
            return None;
        }
        let start = start.trim_start_matches('0');
        let end = end.trim_start_matches('0');
        Some(Self {
            range: format!("{start}-{end}"),
            file,
        })
    }
}
