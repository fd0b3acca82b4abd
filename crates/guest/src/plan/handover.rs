//! What the VMM gets from outside, and as what: decided from the command line's wants before
//! anything is opened, so that a dry run shows the line that a run uses.

use crate::run::folder::RUN_DIR;
use crate::start::user::User;
use passthru_qemu::{Access, By, Given, Resolve, Want, What};
use std::os::fd::RawFd;
use std::path::Path;

/// Where the files are that hold the memory of guests whose domains want it in files.
const RAM_DIR: &str = "/var/lib/passthru/ram";
/// The first number that is free in the VMM: 0 to 2 are its standard streams.
const FIRST: RawFd = 3;

/// Everything that a command line wants, each with how it is given.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    items: Vec<Item>,
}

/// One thing that is handed over.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) want: Want,
    pub(crate) how: How,
}

/// How a thing is handed over. The numbers are those of the VMM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// As a descriptor.
    Descriptor(RawFd),
    /// As a set of descriptors of one file, one for each way that the VMM opens it.
    Set(Vec<(RawFd, Mode)>),
    /// As a sealed copy in memory.
    Copy(RawFd),
    /// Not at all: the VMM's user can open it.
    Itself,
    /// As a folder of the user's own, made for the guest.
    Folder(String),
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Read,
    ReadWrite,
    Write,
    Append,
}

impl Handover {
    /// Decides how each want is met.
    pub(crate) fn plan<'a>(
        wants: impl IntoIterator<Item = &'a Want>,
        name: &str,
        user: &User,
    ) -> Self {
        let mut handover = Self::default();
        let mut next = FIRST;
        for want in wants {
            let how = how(want, name, user, &mut next);
            handover.items.push(Item {
                want: want.clone(),
                how,
            });
        }
        handover
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    fn how(&self, want: &Want) -> Option<&How> {
        self.items
            .iter()
            .find(|item| item.want == *want)
            .map(|item| &item.how)
    }
}

fn how(want: &Want, name: &str, user: &User, next: &mut RawFd) -> How {
    let mut number = || {
        *next += 1;
        *next - 1
    };
    match &want.what {
        What::Iommufd { .. }
        | What::Vfio { .. }
        | What::Listener { .. }
        | What::Vhost { .. }
        | What::ScsiGeneric
        | What::Connected { .. }
        | What::Tap { .. }
        | What::Secret { .. } => How::Descriptor(number()),
        What::NodeSet { .. } => How::Set(vec![(number(), Mode::ReadWrite)]),
        What::Kvm if user.may_open(Path::new("/dev/kvm"), true) => How::Itself,
        What::Kvm => How::Set(vec![(number(), Mode::ReadWrite)]),
        What::File {
            access: Access::ReadOnly,
            by: By::FdSet,
            ..
        } => How::Set(vec![(number(), Mode::Read)]),
        What::File {
            access: Access::ReadWrite,
            by: By::FdSet,
            ..
        } => How::Set(vec![(number(), Mode::Read), (number(), Mode::ReadWrite)]),
        What::File {
            path, by: By::Copy, ..
        } if user.may_open(Path::new(path), false) => How::Itself,
        What::File { by: By::Copy, .. } => How::Copy(number()),
        What::Output { append, .. } => How::Set(vec![(
            number(),
            if *append { Mode::Append } else { Mode::Write },
        )]),
        // The guest's own folder is in memory already and for root alone.
        What::Folder { path } if path.starts_with(RUN_DIR) => {
            How::Folder(format!("{RAM_DIR}/{name}"))
        }
        What::Folder { path } => How::Folder(path.clone()),
    }
}

impl Resolve for Handover {
    fn fd(&self, want: &Want) -> String {
        match self.how(want) {
            Some(How::Descriptor(number)) => number.to_string(),
            // A want that was not planned for: the VMM refuses the word and says where it stands.
            _ => format!("@{}@", want.name),
        }
    }

    fn file(&self, want: &Want) -> Given {
        match self.how(want) {
            Some(How::Set(members)) => Given::Set(
                members
                    .iter()
                    .map(|(number, _)| number.to_string())
                    .collect(),
            ),
            Some(How::Copy(number)) => Given::At(format!("/proc/self/fd/{number}")),
            Some(How::Folder(path)) => Given::At(path.clone()),
            _ => Given::Path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(name: &str, what: What) -> Want {
        Want {
            name: name.into(),
            what,
        }
    }

    #[test]
    fn numbers_follow_the_line_and_a_writable_image_has_two() {
        let image = |access| What::File {
            path: "/nonexistent/disk".into(),
            access,
            by: By::FdSet,
        };
        let wants = [
            want(
                "iommufd0",
                What::Iommufd {
                    number: None,
                    fdgroup: None,
                },
            ),
            want("disk", image(Access::ReadWrite)),
            want("cdrom", image(Access::ReadOnly)),
            want(
                "kernel",
                What::File {
                    path: "/nonexistent/kernel".into(),
                    access: Access::ReadOnly,
                    by: By::Copy,
                },
            ),
        ];
        let handover = Handover::plan(&wants, "vm", &User::choose(None).unwrap());
        assert_eq!(handover.fd(&wants[0]), "3");
        assert_eq!(
            handover.file(&wants[1]),
            Given::Set(vec!["4".into(), "5".into()])
        );
        assert_eq!(handover.file(&wants[2]), Given::Set(vec!["6".into()]));
        assert_eq!(
            handover.file(&wants[3]),
            Given::At("/proc/self/fd/7".into())
        );
    }

    #[test]
    fn what_the_user_can_open_is_left_to_the_vmm() {
        let path = "/etc/passwd".into();
        let wants = [want(
            "kernel",
            What::File {
                path,
                access: Access::ReadOnly,
                by: By::Copy,
            },
        )];
        let handover = Handover::plan(&wants, "vm", &User::choose(None).unwrap());
        assert_eq!(handover.file(&wants[0]), Given::Path);
    }
}
