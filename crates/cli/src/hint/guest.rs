//! Hints for errors of guests.

use std::io::ErrorKind;

use passthru_guest::{
    Error as GuestError, FileTooLarge, FolderError, GroupRule, HotplugError, RecordError,
    RefusedLink,
};

use super::host::host_hint;

/// Returns the hint for an error of a guest.
pub(crate) fn guest_hint(error: &GuestError) -> Option<String> {
    match error {
        GuestError::NotRoot => Some(
            "run it as root, or use --dry-run to see the steps; without devices, a guest runs as \
             its caller"
                .into(),
        ),
        GuestError::Host(error) => host_hint(error),
        GuestError::Hotplug(error) => hotplug_hint(error),
        GuestError::User(error) => error.hint().map(Into::into),
        GuestError::Image(error) => error.hint(),
        GuestError::Folder(error) => folder_hint(error),
        GuestError::Record(error) => record_hint(error),
        GuestError::NewDevice { moved_to, .. } => Some(new_device_hint(moved_to.is_some())),
        GuestError::SharedGroup { rule, .. } => Some(match rule {
            GroupRule::OwnGroup => {
                "give the guest the disk's controller as a <hostdev> too: such devices share a \
                 group"
                    .into()
            }
            GroupRule::OneBackend => {
                "set iommufd='yes' in <driver> of both devices, or iommufd='no' in both".into()
            }
        }),
        GuestError::VfioFolder { source } if source.kind() == ErrorKind::PermissionDenied => Some(
            "give root CAP_SYS_ADMIN and CAP_MKNOD, which a container may lack, or let the \
             devices use iommufd, an NVMe disk's controller as a <hostdev>"
                .into(),
        ),
        GuestError::Iommufd(error) => error.hint().map(Into::into),
        GuestError::Cdev { source, .. } | GuestError::NotVfio { source, .. } => {
            source.hint().map(Into::into)
        }
        GuestError::NoCdev { .. } => Some("use a kernel with CONFIG_VFIO_DEVICE_CDEV".into()),
        GuestError::NotOpen { number, path, .. } => Some(format!(
            "open it for passthru, as in this shell command: passthru run … {number}<>{path}"
        )),
        GuestError::NotIommufd { source, .. } => source.hint().map(Into::into),
        GuestError::OtherDevice { device, .. } => Some(format!(
            "open the node that /sys/bus/pci/devices/{device}/vfio-dev names"
        )),
        GuestError::File { source, .. } if FileTooLarge::is_in(source) => {
            Some("let the guest's user read the file: it is not copied then".into())
        }
        GuestError::File { source, .. } => RefusedLink::in_error(source).map(|_| {
            "name the file itself, or give the folder of the link to root alone (chown, chmod go-w)"
                .into()
        }),
        GuestError::NoTemplate { .. } => Some(
            "name it: <nvram template='…'/>, or set <loader stateless='yes'> for firmware without \
             variables"
                .into(),
        ),
        GuestError::FirmwareGone { variables, .. } => {
            Some(lost_firmware_hint(variables.as_deref()))
        }
        GuestError::CommandLine(errors) => errors.iter().find_map(|error| error.hint.clone()),
        GuestError::Spawn { source, .. } if source.kind() == ErrorKind::PermissionDenied => Some(
            "give root these capabilities, which a container may lack: CAP_SETUID, CAP_SETGID, \
             CAP_SETPCAP, CAP_SYS_RESOURCE"
                .into(),
        ),
        GuestError::Ended { hint, .. } => hint.clone(),
        GuestError::NotRestored { errors, .. } => errors.first().and_then(host_hint),
        _ => None,
    }
}

/// Returns the hint for a guest whose firmware is gone, with the file of its variables.
fn lost_firmware_hint(variables: Option<&str>) -> String {
    match variables {
        Some(path) => format!(
            "install the package of that file again; or, if the guest may lose its boot entries \
             and keys, remove {path}: the next start then chooses and records other firmware"
        ),
        None => "install the package of that file again, or name firmware that can read the \
                 guest's variables with <loader>"
            .into(),
    }
}

fn new_device_hint(has_moved: bool) -> String {
    let verb = if has_moved { "change" } else { "check" };
    format!("{verb} the address in the domain, or use --accept-new-device to give it this device")
}

/// Returns the hint for an error of the records of guests.
fn record_hint(error: &RecordError) -> Option<String> {
    match error {
        RecordError::Damaged { name, .. } => Some(format!(
            "run `passthru forget {name}` to drop it, if the guest may get another user id"
        )),
        RecordError::Version { name, .. } => Some(format!(
            "use the passthru that wrote it, or run `passthru forget {name}` to drop it"
        )),
        RecordError::UidInUse { name, .. } => Some(format!(
            "run `passthru forget {name}`; the next start then takes another id"
        )),
        RecordError::Unknown { known, .. } if known.is_empty() => {
            Some("no guest has a record: the first start makes it".into())
        }
        RecordError::Unknown { known, .. } => Some(format!("name one of: {}", known.join(", "))),
        RecordError::NoFreeUid { .. } => Some(
            "set another uid-range in /etc/passthru/config.toml, or forget guests that are gone"
                .into(),
        ),
        RecordError::Shared { guest, .. } => Some(format!(
            "name no user to give each guest its own, or use --share-user; \
             `passthru forget {guest}` frees the user"
        )),
        RecordError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            Some("run it as root".into())
        }
        _ => None,
    }
}

/// Returns the hint for an error of the folder of a guest.
fn folder_hint(error: &FolderError) -> Option<String> {
    match error {
        FolderError::VmmLives { pid, .. } => Some(format!(
            "wait until the guest has ended, or end its process: kill {pid}"
        )),
        FolderError::VmmUnseen { journal, .. } => Some(format!(
            "run it where the guest was started, on the host or in its container, with /proc \
             mounted; if that container has ended, remove {}",
            journal.display()
        )),
        FolderError::Make { path, .. } if path.starts_with("/run/user") => {
            Some("set XDG_RUNTIME_DIR to a folder of your own".into())
        }
        FolderError::BadJournal { path, .. } => Some(format!(
            "make sure that no VMM of this guest runs, then remove {}",
            path.display()
        )),
        _ => None,
    }
}

fn hotplug_hint(error: &HotplugError) -> Option<String> {
    let hint = match error {
        HotplugError::Busy => "wait for its end, and try again",
        HotplugError::NotRun => "let the guest run first",
        HotplugError::NotReleased { .. } | HotplugError::UnplugRefused { .. } => {
            "stop what uses the device in the guest and try again, give the guest more time with \
             --timeout, or use --force, which resets the guest"
        }
        HotplugError::GroupStays { .. } => "shut the guest down: the devices leave it together",
        _ => return None,
    };
    Some(hint.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_on_lost_firmware_names_the_file_of_its_variables() {
        let hint = lost_firmware_hint(Some("/var/lib/vars.fd"));
        assert!(
            hint.contains("install the package") && hint.contains("remove /var/lib/vars.fd"),
            "{hint}"
        );
        assert!(!lost_firmware_hint(None).contains("remove"));
    }

    #[test]
    fn hint_to_kill_names_only_a_process_that_is_the_vmm() {
        let name = "vm";
        let journal = "/run/passthru/domain-vm/journal";
        let lives = FolderError::VmmLives {
            name: name.into(),
            pid: 4242,
        };
        let unseen = FolderError::VmmUnseen {
            name: name.into(),
            pid: 4242,
            journal: journal.into(),
        };
        for (error, kills) in [(lives, true), (unseen, false)] {
            let hint = guest_hint(&GuestError::Folder(error)).unwrap();
            assert_eq!(hint.contains("kill"), kills, "{hint}");
        }
    }
}
