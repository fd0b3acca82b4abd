//! What stands on the rendered line for each [`Want`].

use super::want::{Want, What};

/// Says what stands for what a command line wants.
pub trait Resolve {
    /// The descriptor's number, for what is wanted by its number ([`Want::is_descriptor`]).
    fn fd(&self, want: &Want) -> String;

    /// How the emulator gets at a file, a folder or `/dev/kvm`.
    fn file(&self, want: &Want) -> Given;
}

/// How the emulator gets at a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It opens the file by the file's own path.
    Path,
    /// It opens another path.
    At(String),
    /// It opens `/dev/fdset/N`, of a set of these descriptors.
    Set(Vec<String>),
}

/// Stands in for what is not known: `@NAME@` for each descriptor, the path for each file, and the
/// numbers that the domain says as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Placeholders;

impl Resolve for Placeholders {
    fn fd(&self, want: &Want) -> String {
        want.number()
            .map_or_else(|| format!("@{}@", want.name), |number| number.to_string())
    }

    fn file(&self, want: &Want) -> Given {
        match want.what {
            What::Output { .. } | What::NodeSet { .. } => {
                Given::Set(vec![format!("@{}@", want.name)])
            }
            _ => Given::Path,
        }
    }
}

/// Leaves every file to the emulator to open: for a line that was made to be run as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paths;

impl Resolve for Paths {
    fn fd(&self, want: &Want) -> String {
        Placeholders.fd(want)
    }

    fn file(&self, _: &Want) -> Given {
        Given::Path
    }
}
