//! The steps of a start, as people read them.

use crate::plan::handover::{How, Item};
use crate::plan::memlock::MemlockItem;
use crate::plan::start_plan::mode_text;
use passthru_host::{DriverChange, Error, Host, Request};
use passthru_pci::Address;
use passthru_qemu::What;
use serde::Serialize;
use std::fmt;
use std::os::fd::RawFd;
use std::path::PathBuf;

/// One step of a start, or of the end that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Step {
    /// The guest's folder is made and locked.
    Lock {
        /// The folder.
        folder: PathBuf,
    },
    /// A file or node is opened.
    Open {
        /// What is opened.
        what: String,
        /// The descriptors' numbers in the VMM, each with how it is opened.
        descriptors: Vec<(RawFd, &'static str)>,
    },
    /// A descriptor from outside is checked and handed on.
    Take {
        /// What it is.
        what: String,
        /// Its number in the VMM.
        descriptor: RawFd,
    },
    /// A file is copied into sealed memory.
    Copy {
        /// The file.
        path: String,
        /// The copy's number in the VMM.
        descriptor: RawFd,
    },
    /// The file of the firmware's variables is made from its template.
    Nvram {
        /// The file.
        path: String,
        /// The template.
        template: String,
    },
    /// A folder is made for the VMM's user.
    Folder {
        /// The folder.
        path: String,
    },
    /// The guest's user, devices and firmware are recorded.
    Record {
        /// The record.
        path: PathBuf,
    },
    /// A device is bound to a VFIO driver.
    Bind {
        /// The device.
        device: Address,
        /// The driver it has now.
        from: Option<String>,
        /// The driver it gets.
        to: String,
    },
    /// A device is taken as it is: on a VFIO driver.
    Claim {
        /// The device.
        device: Address,
        /// The driver it has.
        driver: Option<String>,
    },
    /// The VMM is started.
    Spawn {
        /// The user.
        user: String,
        /// The user's number.
        uid: u32,
        /// `RLIMIT_MEMLOCK` in bytes; the caller's stays where there is none.
        memlock: Option<u64>,
        /// The parts of that limit.
        memlock_items: Vec<MemlockItem>,
        /// The command.
        command: Vec<String>,
    },
    /// The guest runs until it ends.
    Run,
    /// A device is given back.
    GiveBack {
        /// The device.
        device: Address,
        /// The driver that it goes back to.
        to: Option<String>,
    },
}

impl Step {
    pub(crate) fn of_item(item: &Item) -> Option<Self> {
        let path = || item.want.path().unwrap_or_default().to_owned();
        Some(match (&item.want.what, &item.how) {
            (
                What::Iommufd {
                    number: None,
                    fdgroup: None,
                },
                How::Descriptor(fd),
            ) => Self::Open {
                what: format!(
                    "/dev/iommu for {} and charge pinned memory to the VMM's process (IOMMU_OPTION_RLIMIT_MODE)",
                    item.want.name
                ),
                descriptors: vec![(*fd, "for reading and writing")],
            },
            (What::Iommufd { .. }, How::Descriptor(fd)) => Self::Take {
                what: format!("/dev/iommu for {}", item.want.name),
                descriptor: *fd,
            },
            (
                What::Vfio {
                    host, number: None, ..
                },
                How::Descriptor(fd),
            ) => Self::Open {
                what: format!("/dev/vfio/devices/vfioN of {host}"),
                descriptors: vec![(*fd, "for reading and writing")],
            },
            (What::Vfio { host, .. }, How::Descriptor(fd)) => Self::Take {
                what: format!("/dev/vfio/devices/vfioN of {host}"),
                descriptor: *fd,
            },
            (What::Connected { .. }, How::Descriptor(fd)) => Self::Open {
                what: format!("a connection to the socket {}", path()),
                descriptors: vec![(*fd, "to talk")],
            },
            (What::Vhost { .. } | What::Tap { .. }, How::Descriptor(fd)) => Self::Open {
                what: path(),
                descriptors: vec![(*fd, "for reading and writing")],
            },
            (_, How::Descriptor(fd)) => Self::Open {
                what: format!("the listening socket {}", path()),
                descriptors: vec![(*fd, "to accept")],
            },
            (_, How::Set(members)) => {
                let descriptors = members
                    .iter()
                    .map(|(fd, mode)| (*fd, mode_text(*mode)))
                    .collect();
                Self::Open {
                    what: path(),
                    descriptors,
                }
            }
            (_, How::Copy(fd)) => Self::Copy {
                path: path(),
                descriptor: *fd,
            },
            (_, How::Folder(path)) => Self::Folder { path: path.clone() },
            (_, How::Itself) => return None,
        })
    }

    pub(crate) fn of_nvram((path, template): (&str, &str)) -> Self {
        Self::Nvram {
            path: path.into(),
            template: template.into(),
        }
    }

    /// The step that takes a device, and the one that gives it back.
    pub(crate) fn of_request(
        request: &Request,
        host: &Host,
    ) -> Result<(Self, Option<Self>), Error> {
        let device = request.address;
        Ok(match host.change(request)? {
            Some(DriverChange { from, to, back }) => (
                Self::Bind { device, from, to },
                Some(Self::GiveBack { device, to: back }),
            ),
            None => (
                Self::Claim {
                    device,
                    driver: host.device(device)?.driver,
                },
                None,
            ),
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = |driver: &Option<String>| driver.clone().unwrap_or_else(|| "no driver".into());
        match self {
            Self::Lock { folder } => write!(f, "make and lock {}", folder.display()),
            Self::Open { what, descriptors } => {
                let numbers: Vec<String> = descriptors
                    .iter()
                    .map(|(fd, how)| format!("{fd} ({how})"))
                    .collect();
                write!(f, "open {what}: descriptor {}", numbers.join(" and "))
            }
            Self::Take { what, descriptor } => {
                write!(
                    f,
                    "check the descriptor handed in as {what}: descriptor {descriptor}"
                )
            }
            Self::Copy { path, descriptor } => {
                write!(f, "copy {path} into sealed memory: descriptor {descriptor}")
            }
            Self::Nvram { path, template } => write!(f, "make {path} from {template}"),
            Self::Folder { path } => write!(f, "make the folder {path} for the VMM's user"),
            Self::Record { path } => {
                write!(
                    f,
                    "record the guest's user, devices and firmware in {}",
                    path.display()
                )
            }
            Self::Bind { device, from, to } => {
                write!(f, "bind {device} from {} to {to}", driver(from))
            }
            Self::Claim {
                device,
                driver: has,
            } => {
                write!(f, "claim {device}, which stays on {}", driver(has))
            }
            Self::Spawn {
                user,
                uid,
                memlock,
                memlock_items,
                command,
            } => {
                let user = if *user == uid.to_string() {
                    "a user of its own"
                } else {
                    user
                };
                write!(
                    f,
                    "start {} as {user} (uid {uid}), no capabilities, no_new_privs",
                    command.first().map_or("", |c| c)
                )?;
                if let Some(memlock) = memlock {
                    write!(f, ", memlock {} MiB", memlock.div_ceil(1 << 20))?;
                }
                memlock_items
                    .iter()
                    .try_for_each(|item| write!(f, "\n      memlock: {item}"))
            }
            Self::Run => f.write_str("run the guest until it ends"),
            Self::GiveBack { device, to } => write!(f, "give {device} back to {}", driver(to)),
        }
    }
}
