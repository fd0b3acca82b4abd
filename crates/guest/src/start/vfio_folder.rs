//! The `/dev/vfio` of a VMM that opens devices by path. QEMU does for hostdevs on type1
//! (hw/vfio/container-legacy.c) and for NVMe disks (util/vfio-helpers.c). The nodes of the host
//! belong to root, and stay as they are.

use std::io;
use std::os::fd::OwnedFd;

use passthru_host::{Host, VfioNode};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chmodat, chownat, fstat, makedev,
    mknodat, open, openat2, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use crate::error::Error;
use crate::op::world::World;
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
    for node in nodes {
        add(&mount, node, user)?;
    }
    Ok(mount)
}

/// Adds a node for the VMM's user to the VMM's own `/dev/vfio`, which the VMM may see already.
/// Replaces a node of that name.
///
/// # Errors
/// If the kernel refuses a step, then the kernel's error. Nothing is added then.
pub(crate) fn add(folder: &OwnedFd, node: &VfioNode, user: &User) -> io::Result<()> {
    let name = node.name.as_str();
    remove(folder, name)?;
    let mode = Mode::RUSR | Mode::WUSR;
    let number = makedev(node.major, node.minor);
    mknodat(folder, name, FileType::CharacterDevice, mode, number)?;
    let owned = set_owner(folder, name, user.uid(), user.gid.as_raw());
    if owned.is_err() {
        let _ = unlinkat(folder, name, AtFlags::empty());
    }
    Ok(owned?)
}

/// Takes the node of a group out of the VMM's own `/dev/vfio`, if the node is there. The kernel
/// gives the number of the node to another group later.
///
/// A VMM can keep a reference to the node (`O_PATH`) and open it later. So the node loses its owner
/// and all access first.
///
/// # Errors
/// If the kernel refuses a step, then the kernel's error.
pub(crate) fn remove(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match set_owner(folder, name, 0, 0) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    }

    chmodat(folder, name, Mode::empty(), AtFlags::empty())?;
    Ok(unlinkat(folder, name, AtFlags::empty())?)
}

fn set_owner(folder: &OwnedFd, name: &str, uid: u32, gid: u32) -> Result<(), Errno> {
    let uid = Some(Uid::from_raw(uid));
    let gid = Some(Gid::from_raw(gid));
    chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// Returns the VMM's own `/dev/vfio`; `None` if the VMM has none. Also works for a successor of the
/// process that made the folder.
pub(crate) fn find(world: &World) -> io::Result<Option<OwnedFd>> {
    if let Some(mount) = &world.vfio {
        return mount.try_clone().map(Some);
    }
    let Some(vmm) = &world.vmm else {
        return Ok(None);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(format!("/proc/{}/root", vmm.pid), flags, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let folder = match openat2(&root, "dev/vfio", flags, Mode::empty(), resolve) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    // Only a folder of the VMM's own is a mount.
    let above = openat2(&root, "dev", flags, Mode::empty(), resolve)?;
    let is_own = fstat(&folder)?.st_dev != fstat(&above)?.st_dev;
    Ok(is_own.then_some(folder))
}
