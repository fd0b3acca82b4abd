//! The steps of a start, as a dry run shows them.

use std::fmt;
use std::os::fd::RawFd;
use std::path::PathBuf;

use passthru_domain::device::DisplayPassword;
use passthru_domain::device::graphics::GraphicsType;
use passthru_host::{DriverChange, Error, Host, Request};
use passthru_pci::Address;
use passthru_qemu::WantKind;
use serde::Serialize;

use crate::opener::OpenMode;
use crate::plan::handover::{Delivery, HandoverItem};
use crate::plan::memlock::MemlockItem;

/// Step of a start, or of the guest's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Step {
    /// Make the guest's folder and lock it.
    Lock {
        /// Path of the folder.
        folder: PathBuf,
    },
    /// Open a file, node or socket.
    Open {
        /// The object, in words.
        what: String,
        /// Numbers of the descriptors in the VMM, each with its mode in words.
        descriptors: Vec<(RawFd, &'static str)>,
    },
    /// Check a descriptor that the caller handed in, and pass it on.
    Take {
        /// The object that the descriptor must be open on, in words.
        what: String,
        /// Number of the descriptor in the VMM.
        descriptor: RawFd,
    },
    /// Copy a file into sealed memory.
    Copy {
        /// Path of the file.
        path: String,
        /// Number of the copy's descriptor in the VMM.
        descriptor: RawFd,
    },
    /// Make the file of the firmware's variables from its template.
    Nvram {
        /// Path of the file.
        path: String,
        /// Path of the template; `None` for a file that begins empty.
        template: Option<String>,
    },
    /// Make a folder for the VMM's user.
    Folder {
        /// Path of the folder.
        path: String,
    },
    /// Record the guest's user, devices and firmware.
    Record {
        /// Path of the record.
        path: PathBuf,
    },
    /// Bind a device to a VFIO driver.
    Bind {
        /// Address of the device.
        device: Address,
        /// Driver that the device is on now.
        from: Option<String>,
        /// VFIO driver that the device gets.
        to: String,
    },
    /// Claim a device that is on a VFIO driver already.
    Claim {
        /// Address of the device.
        device: Address,
        /// Driver that the device is on.
        driver: Option<String>,
    },
    /// Make a `/dev/vfio` that the VMM alone sees, for devices that it opens by path.
    VfioFolder {
        /// Paths of the nodes there.
        nodes: Vec<String>,
    },
    /// Start the VMM.
    Spawn {
        /// Name of the user.
        user: String,
        /// Number of the user.
        uid: u32,
        /// `RLIMIT_MEMLOCK` in bytes; `None` keeps the limit of this process.
        memlock: Option<u64>,
        /// Parts of that limit.
        memlock_items: Vec<MemlockItem>,
        /// Program and arguments.
        command: Vec<String>,
    },
    /// Set the password of a screen, which the step does not show.
    Password {
        /// Kind of the screen.
        screen: &'static str,
        /// End of the password's validity, in UTC; `None` if the password stays valid.
        valid_to: Option<String>,
    },
    /// Run the guest until it ends.
    Run,
    /// Give a device back.
    GiveBack {
        /// Address of the device.
        device: Address,
        /// Driver that the device goes back to; `None` for no driver.
        to: Option<String>,
    },
}

impl Step {
    /// Returns the step that prepares an object of the handover; `None` if the VMM opens the object
    /// by its path.
    pub(crate) fn for_item(item: &HandoverItem) -> Option<Self> {
        let path = item.want.path().unwrap_or_default();
        match &item.delivery {
            Delivery::Descriptor(number) => Some(Self::for_descriptor(item, path, *number)),
            Delivery::FdSet(members) => {
                let descriptors = members.iter().map(|(number, mode)| (*number, mode.text()));
                Some(Self::Open {
                    what: path.to_owned(),
                    descriptors: descriptors.collect(),
                })
            }
            Delivery::Copy(number) => Some(Self::Copy {
                path: path.to_owned(),
                descriptor: *number,
            }),
            Delivery::Folder(path) => Some(Self::Folder { path: path.clone() }),
            Delivery::Path => None,
        }
    }

    fn for_descriptor(item: &HandoverItem, path: &str, number: RawFd) -> Self {
        let name = &item.want.name;
        let (what, mode) = match &item.want.kind {
            WantKind::Iommufd { given: None } => (
                format!(
                    "/dev/iommu for {name} and charge pinned memory to the VMM's process \
                     (IOMMU_OPTION_RLIMIT_MODE)"
                ),
                OpenMode::ReadWrite.text(),
            ),
            WantKind::Iommufd { .. } => {
                return Self::Take {
                    what: format!("/dev/iommu for {name}"),
                    descriptor: number,
                };
            }
            WantKind::Vfio {
                host, given: None, ..
            } => (
                format!("/dev/vfio/devices/vfioN of {host}"),
                OpenMode::ReadWrite.text(),
            ),
            WantKind::Vfio { host, .. } => {
                return Self::Take {
                    what: format!("/dev/vfio/devices/vfioN of {host}"),
                    descriptor: number,
                };
            }
            WantKind::Connected { .. } => (format!("a connection to the socket {path}"), "to talk"),
            WantKind::Vhost { .. } | WantKind::Tap { .. } => {
                (path.to_owned(), OpenMode::ReadWrite.text())
            }
            _ => (format!("the listening socket {path}"), "to accept"),
        };
        Self::Open {
            what,
            descriptors: vec![(number, mode)],
        }
    }

    /// Returns the step that makes the file of the firmware's variables.
    pub(crate) fn for_nvram(path: &str, template: Option<&str>) -> Self {
        Self::Nvram {
            path: path.into(),
            template: template.map(Into::into),
        }
    }

    /// Returns the step that sets the password of a screen.
    pub(crate) fn for_password(password: &DisplayPassword<'_>) -> Self {
        Self::Password {
            screen: screen_name(password.protocol),
            valid_to: password.valid_to.map(|end| end.to_string()),
        }
    }

    /// Returns the step that takes a device, and the one that gives the device back, if any.
    pub(crate) fn for_request(
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
        match self {
            Self::Lock { folder } => write!(f, "make and lock {}", folder.display()),
            Self::Open { what, descriptors } => {
                let numbers: Vec<String> = descriptors
                    .iter()
                    .map(|(number, mode)| format!("{number} ({mode})"))
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
            Self::Nvram {
                path,
                template: Some(template),
            } => write!(f, "make {path} from {template}"),
            Self::Nvram {
                path,
                template: None,
            } => write!(f, "make {path}, empty"),
            Self::Folder { path } => write!(f, "make the folder {path} for the VMM's user"),
            Self::Record { path } => {
                write!(
                    f,
                    "record the guest's user, devices and firmware in {}",
                    path.display()
                )
            }
            Self::Bind { device, from, to } => {
                write!(f, "bind {device} from {} to {to}", driver_text(from))
            }
            Self::Claim { device, driver } => {
                write!(f, "claim {device}, which stays on {}", driver_text(driver))
            }
            Self::VfioFolder { nodes } => {
                write!(
                    f,
                    "make a /dev/vfio that only the VMM sees, for its NVMe disks by type1: {}",
                    nodes.join(", ")
                )
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
                for item in memlock_items {
                    write!(f, "\n      memlock: {item}")?;
                }
                Ok(())
            }
            Self::Password { screen, valid_to } => {
                write!(f, "set the password of the {screen} screen by QMP")?;
                match valid_to {
                    Some(end) => write!(f, ", valid until {end} UTC"),
                    None => Ok(()),
                }
            }
            Self::Run => f.write_str("run the guest until it ends"),
            Self::GiveBack { device, to } => write!(f, "give {device} back to {}", driver_text(to)),
        }
    }
}

/// Returns the name of a kind of screen for messages.
pub(crate) const fn screen_name(kind: GraphicsType) -> &'static str {
    match kind {
        GraphicsType::Spice => "SPICE",
        GraphicsType::Vnc => "VNC",
        other => other.as_str(),
    }
}

fn driver_text(driver: &Option<String>) -> &str {
    driver.as_deref().unwrap_or("no driver")
}
