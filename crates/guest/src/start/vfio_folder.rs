//! The `/dev/vfio` of a VMM that opens devices by path. QEMU does for hostdevs on type1
//! (hw/vfio/container-legacy.c) and for NVMe disks (util/vfio-helpers.c). The nodes of the host
//! belong to root, and stay as they are.

use std::io;
use std::os::fd::OwnedFd;

use passthru_host::{Host, VfioNode};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, makedev, mknodat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use crate::error::Error;
use crate::plan::start_plan::StartPlan;
use crate::plan::type1;
use crate::start::user::User;

/// Folder of VFIO's nodes.
pub(crate) const VFIO_DIR: &std::ffi::CStr = c"/dev/vfio";

/// Makes the VMM's own `/dev/vfio`, if it opens devices by path. The devices are on their VFIO
/// drivers.
///
/// # Errors
/// - If the kernel lacks a node, then [`Error::Host`].
/// - If the folder cannot be made, then [`Error::VfioFolder`].
pub(crate) fn for_plan(plan: &StartPlan, host: &Host) -> Result<Option<OwnedFd>, Error> {
    if plan.by_type1.is_empty() {
        return Ok(None);
    }
    let nodes = host.type1_nodes(&type1::devices(&plan.by_type1, host)?)?;
    let mount = make(&nodes, &plan.user);
    mount
        .map(Some)
        .map_err(|source| Error::VfioFolder { source })
}

/// Makes a file system in memory that holds these nodes alone, for the VMM's user. Returns a mount
/// of it that no process sees yet. The VMM's process puts the mount over [`VFIO_DIR`] in a mount
/// namespace of its own, so that the mount goes with the process.
///
/// # Errors
/// If the kernel refuses a step, then the kernel's error. It needs `CAP_SYS_ADMIN` and `CAP_MKNOD`.
fn make(nodes: &[VfioNode], user: &User) -> io::Result<OwnedFd> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"mode", c"0755")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let uid = Uid::from_raw(user.uid());
    let gid = Gid::from_raw(user.gid.as_raw());
    for node in nodes {
        let name = node.name.as_str();
        let mode = Mode::RUSR | Mode::WUSR;
        let number = makedev(node.major, node.minor);
        mknodat(&mount, name, FileType::CharacterDevice, mode, number)?;
        chownat(
            &mount,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }

    Ok(mount)
}
