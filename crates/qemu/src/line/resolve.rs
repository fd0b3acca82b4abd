//! What stands on the rendered line for each [`Want`].

use passthru_domain::Descriptor;

use super::want::{Want, WantKind};

/// A choice of what is written on a command line for each [`Want`].
pub trait Resolve {
    /// Returns the number of the descriptor, for a want that is one ([`Want::is_descriptor`]).
    fn fd(&self, want: &Want) -> String;

    /// Returns the location of a file, a folder or `/dev/kvm`, for the emulator.
    fn file(&self, want: &Want) -> FileLocation;
}

/// Location at which the emulator opens a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileLocation {
    /// The file's own path.
    OwnPath,
    /// Another path.
    OtherPath(String),
    /// `/dev/fdset/N`, an fd set of these descriptors.
    FdSet(Vec<String>),
}

/// Placeholders for descriptors that are not open: `@NAME@`, or the number that the domain names.
/// Files stand by their own paths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Placeholders;

impl Resolve for Placeholders {
    fn fd(&self, want: &Want) -> String {
        match want.given() {
            Some(Descriptor::Number(number)) => number.to_string(),
            Some(Descriptor::Name(_)) | None => format!("@{}@", want.name),
        }
    }

    fn file(&self, want: &Want) -> FileLocation {
        match want.kind {
            WantKind::Output { .. } | WantKind::NodeSet { .. } => {
                FileLocation::FdSet(vec![format!("@{}@", want.name)])
            }
            _ => FileLocation::OwnPath,
        }
    }
}

/// The files' own paths, for a line of [`Style::Standalone`](crate::Style::Standalone).
#[derive(Clone, Copy, Debug, Default)]
pub struct Paths;

impl Resolve for Paths {
    fn fd(&self, want: &Want) -> String {
        Placeholders.fd(want)
    }

    fn file(&self, _: &Want) -> FileLocation {
        FileLocation::OwnPath
    }
}
