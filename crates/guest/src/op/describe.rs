//! The text of operations, as a dry run and messages show it.

use std::fmt;

use passthru_pci::Address;

use super::op::{Descriptor, Op, PartKind};

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeGuestFolder { path } => write!(f, "make and lock {}", path.display()),
            Self::LoadModules { backends } => {
                write!(
                    f,
                    "load the kernel's modules for {}",
                    backends.join(" and ")
                )
            }
            Self::MakeNvram { path, template } => match template {
                Some(template) => write!(f, "make {path} from {template}"),
                None => write!(f, "make {path}, empty"),
            },
            Self::Open {
                what, descriptors, ..
            } => {
                let numbers: Vec<String> = descriptors.iter().map(Descriptor::to_string).collect();
                write!(f, "open {what}: descriptor {}", numbers.join(" and "))
            }
            Self::Take {
                what, descriptor, ..
            } => write!(
                f,
                "check the descriptor handed in as {what}: descriptor {descriptor}"
            ),
            Self::Copy {
                path, descriptor, ..
            } => write!(f, "copy {path} into sealed memory: descriptor {descriptor}"),
            Self::Listen {
                path, descriptor, ..
            } => {
                let name = path.as_ref().map(|path| path.display().to_string());
                let name = name.unwrap_or_else(|| "monitor".into());
                write!(
                    f,
                    "open the listening socket {name}: descriptor {descriptor} (to accept)"
                )
            }
            Self::MakeFolder { path } => {
                write!(f, "make the folder {} for the VMM's user", path.display())
            }
            Self::WriteRecord { path, .. } => write!(
                f,
                "record the guest's user, devices and firmware in {}",
                path.display()
            ),
            Self::Claim {
                device,
                driver,
                stays: true,
            } => write!(f, "claim {device}, which stays on {}", driver_text(driver)),
            Self::Claim { device, .. } => write!(f, "claim {device}"),
            Self::LoadDrivers { drivers } => {
                write!(f, "load the VFIO driver {}", drivers.join(" and "))
            }
            Self::Bind {
                device, from, to, ..
            } => write!(f, "bind {device} from {} to {to}", driver_text(from)),
            Self::WriteDomain { path } => {
                write!(f, "keep the guest's complete domain in {}", path.display())
            }
            Self::OpenLog { path } => write!(f, "log the VMM's messages in {}", path.display()),
            Self::MakeVfioFolder { nodes } => write!(
                f,
                "make a /dev/vfio that only the VMM sees, for what it opens by type1: {}",
                nodes.join(", ")
            ),
            Self::Spawn { .. } => self.fmt_spawn(f),
            Self::HandOver { device } => {
                write!(
                    f,
                    "note in the record of {device} that the VMM has the device"
                )
            }
            Self::SetUp => f.write_str("wait until the VMM has set the machine up"),
            Self::SetPassword {
                screen, valid_to, ..
            } => {
                write!(f, "set the password of the {screen} screen by QMP")?;
                match valid_to {
                    Some(end) => write!(f, ", valid until {end} UTC"),
                    None => Ok(()),
                }
            }
            Self::SetBalloon { bytes } => {
                write!(
                    f,
                    "inflate the balloon, so that the guest keeps {} MiB",
                    bytes >> 20
                )
            }
            Self::EmptyLogs { paths } => write!(f, "empty {}", paths.join(", ")),
            Self::ListenForControl { path } => {
                write!(f, "listen for commands at {}", path.display())
            }
            Self::Resume => f.write_str("run the guest until it ends"),
            Self::RaiseMemlock { .. }
            | Self::AddFdSet { .. }
            | Self::AddObject { .. }
            | Self::PassDevice { .. }
            | Self::AddVfioNode { .. }
            | Self::AddDevice { .. }
            | Self::RemoveDevice { .. }
            | Self::RemoveVfioNode { .. }
            | Self::RemoveObject { .. }
            | Self::PassFile { .. }
            | Self::AddPart { .. }
            | Self::ChangeMedium { .. }
            | Self::RemovePart { .. }
            | Self::RewriteDomain { .. } => self.fmt_hotplug(f),
        }
    }
}

impl Op {
    fn fmt_spawn(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Spawn {
            user,
            uid,
            memlock,
            memlock_items,
            command,
        } = self
        else {
            return Ok(());
        };
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

    fn fmt_hotplug(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RaiseMemlock { from, to } => write!(
                f,
                "raise the VMM's memlock from {} MiB to {} MiB",
                from.div_ceil(1 << 20),
                to.div_ceil(1 << 20)
            ),
            Self::AddFdSet { object, .. } => {
                write!(f, "open /dev/iommu, and give it to the VMM for {object}")
            }
            Self::AddObject { object, .. } => write!(f, "make {object} in the VMM"),
            Self::PassDevice { device, .. } => write!(
                f,
                "open /dev/vfio/devices/vfioN of {device}, and give it to the VMM"
            ),
            Self::AddDevice { alias, device, .. } => {
                write!(f, "plug {alias}{} into the guest", in_brackets(*device))
            }
            Self::RemoveDevice { alias, device } => {
                let device = in_brackets(*device);
                write!(f, "ask the guest to release {alias}{device}")
            }
            Self::PassFile { path, write, .. } => {
                let mode = if *write {
                    "reading and writing"
                } else {
                    "reading"
                };
                let path = path.display();
                write!(f, "open {path} for {mode}, and give it to the VMM")
            }
            Self::AddPart { kind, id, .. } => write!(f, "make the {kind} {id} in the VMM"),
            Self::ChangeMedium {
                drive, to: Some(_), ..
            } => write!(f, "put another medium into {drive}"),
            Self::ChangeMedium { drive, .. } => write!(f, "take the medium out of {drive}"),
            Self::RemovePart { kind, id } => write!(f, "remove the {kind} {id} from the VMM"),
            Self::AddVfioNode { device, group } => {
                write!(
                    f,
                    "put /dev/vfio/{group} of {device} into the VMM's /dev/vfio"
                )
            }
            Self::RemoveVfioNode { group } => {
                write!(f, "take /dev/vfio/{group} out of the VMM's /dev/vfio")
            }
            Self::RemoveObject { object } => write!(f, "remove {object} from the VMM"),
            Self::RewriteDomain { path } => {
                write!(f, "keep the guest's changed domain in {}", path.display())
            }
            _ => Ok(()),
        }
    }

    /// Returns the text of what undoes the operation at the guest's end; `None` if nothing that a
    /// user would look for is undone.
    pub fn undo_text(&self) -> Option<String> {
        match self {
            Self::MakeGuestFolder { path } | Self::MakeFolder { path } => {
                Some(format!("remove {}", path.display()))
            }
            Self::Listen {
                path: Some(path), ..
            }
            | Self::ListenForControl { path } => {
                Some(format!("remove the socket {}", path.display()))
            }
            Self::Bind { device, back, .. } => {
                Some(format!("give {device} back to {}", driver_text(back)))
            }
            _ => None,
        }
    }
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "object",
            Self::Node => "block node",
            Self::Netdev => "host's end",
        })
    }
}

/// Returns ` (ADDRESS)` for a device of the host.
pub(crate) fn in_brackets(device: Option<Address>) -> String {
    device.map_or_else(String::new, |device| format!(" ({device})"))
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.mode)
    }
}

fn driver_text(driver: &Option<String>) -> &str {
    driver.as_deref().unwrap_or("no driver")
}
