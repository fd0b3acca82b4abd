//! The handover: the form in which the VMM gets each object that its command line wants, and the
//! numbers of the descriptors. All of it is decided before anything is opened, so that a dry run
//! shows the command line that a start uses.

use std::os::fd::RawFd;
use std::path::Path;

use passthru_qemu::{Access, FileLocation, FilePassing, Resolve, Want, WantKind};

use crate::opener::OpenMode;
use crate::run::folder::RUN_DIR;
use crate::start::user::User;

/// Folder for the memory of guests whose domains want it in files.
const RAM_DIR: &str = "/var/lib/passthru/ram";
/// First free descriptor of the VMM: 0 to 2 are its standard streams.
const FIRST: RawFd = 3;

/// The objects that a command line wants, each with its delivery.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    items: Vec<HandoverItem>,
}

/// An object that a command line wants, with its delivery.
#[derive(Debug)]
pub(crate) struct HandoverItem {
    pub(crate) want: Want,
    pub(crate) delivery: Delivery,
}

/// Form in which the VMM gets an object. The numbers are those of the VMM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// A descriptor.
    Descriptor(RawFd),
    /// An fd set: descriptors of one file, one for each mode in which the VMM opens the file.
    FdSet(Vec<(RawFd, OpenMode)>),
    /// A sealed copy in memory.
    Copy(RawFd),
    /// The path: the VMM's user can open the object.
    Path,
    /// A folder that is made for the VMM's user.
    Folder(String),
}

impl Handover {
    /// Decides the delivery of each want of a guest's command line.
    pub(crate) fn new<'a>(
        wants: impl IntoIterator<Item = &'a Want>,
        guest: &str,
        user: &User,
    ) -> Self {
        let mut numbers = Numbers { next: FIRST };
        let items = wants.into_iter().map(|want| HandoverItem {
            want: want.clone(),
            delivery: delivery(want, guest, user, &mut numbers),
        });
        Self {
            items: items.collect(),
        }
    }

    pub(crate) fn items(&self) -> &[HandoverItem] {
        &self.items
    }

    fn delivery(&self, want: &Want) -> Option<&Delivery> {
        let item = self.items.iter().find(|item| item.want == *want)?;
        Some(&item.delivery)
    }
}

/// Free numbers of descriptors in the VMM.
struct Numbers {
    next: RawFd,
}

impl Numbers {
    fn take(&mut self) -> RawFd {
        let number = self.next;
        self.next += 1;
        number
    }
}

fn delivery(want: &Want, guest: &str, user: &User, numbers: &mut Numbers) -> Delivery {
    match &want.kind {
        WantKind::Iommufd { .. }
        | WantKind::Vfio { .. }
        | WantKind::Listener { .. }
        | WantKind::Vhost { .. }
        | WantKind::ScsiGeneric
        | WantKind::Connected { .. }
        | WantKind::Tap { .. }
        | WantKind::Secret { .. } => Delivery::Descriptor(numbers.take()),
        WantKind::Kvm if user.may_open(Path::new("/dev/kvm"), true) => Delivery::Path,
        WantKind::Kvm | WantKind::NodeSet { .. } => fd_set(&[OpenMode::ReadWrite], numbers),
        WantKind::File {
            access: Access::ReadOnly,
            passing: FilePassing::FdSet,
            ..
        } => fd_set(&[OpenMode::Read], numbers),
        WantKind::File {
            access: Access::ReadWrite,
            passing: FilePassing::FdSet,
            ..
        } => fd_set(&[OpenMode::Read, OpenMode::ReadWrite], numbers),
        WantKind::File {
            path,
            passing: FilePassing::Copy,
            ..
        } if user.may_open(Path::new(path), false) => Delivery::Path,
        WantKind::File {
            passing: FilePassing::Copy,
            ..
        } => Delivery::Copy(numbers.take()),
        WantKind::Output { append: true, .. } => fd_set(&[OpenMode::Append], numbers),
        WantKind::Output { append: false, .. } => fd_set(&[OpenMode::Write], numbers),
        // `RUN_DIR` is in memory already, and only root can enter it: the folder is made elsewhere.
        WantKind::Folder { path } if path.starts_with(RUN_DIR) => {
            Delivery::Folder(format!("{RAM_DIR}/{guest}"))
        }
        WantKind::Folder { path } => Delivery::Folder(path.clone()),
    }
}

fn fd_set(modes: &[OpenMode], numbers: &mut Numbers) -> Delivery {
    let members = modes.iter().map(|mode| (numbers.take(), *mode));
    Delivery::FdSet(members.collect())
}

impl Resolve for Handover {
    fn fd(&self, want: &Want) -> String {
        match self.delivery(want) {
            Some(Delivery::Descriptor(number)) => number.to_string(),
            // No descriptor is planned for the want. The VMM rejects this word and prints it.
            _ => format!("@{}@", want.name),
        }
    }

    fn file(&self, want: &Want) -> FileLocation {
        match self.delivery(want) {
            Some(Delivery::FdSet(members)) => {
                let numbers = members.iter().map(|(number, _)| number.to_string());
                FileLocation::FdSet(numbers.collect())
            }
            Some(Delivery::Copy(number)) => {
                FileLocation::OtherPath(format!("/proc/self/fd/{number}"))
            }
            Some(Delivery::Folder(path)) => FileLocation::OtherPath(path.clone()),
            _ => FileLocation::OwnPath,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(name: &str, kind: WantKind) -> Want {
        Want {
            name: name.into(),
            kind,
        }
    }

    #[test]
    fn descriptors_are_numbered_in_order_two_per_writable_image() {
        let image = |access| WantKind::File {
            path: "/nonexistent/disk".into(),
            access,
            passing: FilePassing::FdSet,
        };
        let wants = [
            want("iommufd0", WantKind::Iommufd { given: None }),
            want("disk", image(Access::ReadWrite)),
            want("cdrom", image(Access::ReadOnly)),
            want(
                "kernel",
                WantKind::File {
                    path: "/nonexistent/kernel".into(),
                    access: Access::ReadOnly,
                    passing: FilePassing::Copy,
                },
            ),
        ];
        let handover = Handover::new(&wants, "vm", &User::choose(None).unwrap());
        assert_eq!(handover.fd(&wants[0]), "3");
        assert_eq!(
            handover.file(&wants[1]),
            FileLocation::FdSet(vec!["4".into(), "5".into()])
        );
        assert_eq!(
            handover.file(&wants[2]),
            FileLocation::FdSet(vec!["6".into()])
        );
        assert_eq!(
            handover.file(&wants[3]),
            FileLocation::OtherPath("/proc/self/fd/7".into())
        );
    }

    #[test]
    fn file_that_the_user_can_open_is_passed_by_path() {
        let path = "/etc/passwd".into();
        let wants = [want(
            "kernel",
            WantKind::File {
                path,
                access: Access::ReadOnly,
                passing: FilePassing::Copy,
            },
        )];
        let handover = Handover::new(&wants, "vm", &User::choose(None).unwrap());
        assert_eq!(handover.file(&wants[0]), FileLocation::OwnPath);
    }
}
