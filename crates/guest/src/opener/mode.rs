//! Modes of opening files.

use rustix::fs::OFlags;

/// Mode in which a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenMode {
    Read,
    ReadWrite,
    Write,
    Append,
}

impl OpenMode {
    /// Returns the mode in words, as a dry run shows it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Read => "for reading",
            Self::ReadWrite => "for reading and writing",
            Self::Write => "for writing",
            Self::Append => "for appending",
        }
    }

    /// Returns the flags of `open`. Opening does not wait, and makes no terminal the controlling
    /// one.
    pub(super) fn flags(self) -> OFlags {
        let access = match self {
            Self::Read => OFlags::RDONLY,
            Self::ReadWrite => OFlags::RDWR,
            Self::Write => OFlags::WRONLY,
            Self::Append => OFlags::WRONLY | OFlags::APPEND,
        };
        access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
    }
}
