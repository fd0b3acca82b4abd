//! `<filesystem>`: folders of the host that the guest shares.

use passthru_domain::device::Filesystem;
use passthru_domain::device::filesystem::{FilesystemAccess, Multidevs};

use super::{pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Object, Opt};

/// Returns the options of a folder, by virtiofs or 9P.
pub(crate) fn device(context: &Context<'_>, filesystem: &Filesystem) -> Result<Vec<Opt>, Error> {
    if filesystem.is_virtiofs() {
        virtiofs(context, filesystem)
    } else {
        by_9p(context, filesystem)
    }
}

/// Returns the options of a folder that QEMU serves by 9P.
fn by_9p(context: &Context<'_>, filesystem: &Filesystem) -> Result<Vec<Opt>, Error> {
    let id = filesystem.info.id();
    let fsdev = format!("fsdev-{id}");
    let model = match filesystem.accessmode {
        Some(FilesystemAccess::Mapped) => "mapped",
        Some(FilesystemAccess::Squash) => "none",
        Some(FilesystemAccess::Passthrough) | None => "passthrough",
    };
    let driver = filesystem.driver.clone().unwrap_or_default();
    let multidevs = filesystem
        .multidevs
        .filter(|multidevs| *multidevs != Multidevs::Default);
    let list = List::new("local")
        .with("security_model", model)
        .maybe("multidevs", multidevs.map(Multidevs::as_str))
        .maybe("fmode", filesystem.fmode.map(|mode| mode.to_string()))
        .maybe("dmode", filesystem.dmode.map(|mode| mode.to_string()))
        .maybe("writeout", driver.wrpolicy.map(|policy| policy.as_str()))
        .with("id", fsdev.as_str())
        .maybe(
            "path",
            filesystem
                .source
                .as_ref()
                .and_then(|source| source.dir.clone()),
        )
        .maybe("readonly", filesystem.readonly.then_some(true));
    let device = virtio::device(
        "virtio-9p",
        filesystem.model,
        Some(driver.virtio),
        &filesystem.info,
    )?
    .with("id", id)
    .with("fsdev", fsdev)
    .maybe("mount_tag", filesystem.target.clone())
    .and(pci::address(context, &filesystem.info)?);
    Ok(vec![Opt::list("-fsdev", list), Opt::device(device)])
}

/// Returns the options of a folder that a virtiofsd serves, at a socket.
fn virtiofs(context: &Context<'_>, filesystem: &Filesystem) -> Result<Vec<Opt>, Error> {
    let id = filesystem.info.id();
    let chardev = format!("chr-vu-{id}");
    let said = filesystem
        .source
        .as_ref()
        .and_then(|source| source.socket.clone());
    let path = said.unwrap_or_else(|| context.state_path(&format!("{id}-fs.sock")));
    let socket = List::new("socket")
        .with("id", chardev.as_str())
        .with("path", path);
    let driver = filesystem.driver.clone().unwrap_or_default();
    let device = Object::driver(pci::virtio("vhost-user-fs", &filesystem.info)?)
        .and(pci::virtio_options(&driver.virtio))
        .with("id", id)
        .with("chardev", chardev)
        .maybe("queue-size", driver.queue)
        .maybe("tag", filesystem.target.clone())
        .maybe("bootindex", filesystem.info.boot_order())
        .and(pci::address(context, &filesystem.info)?);
    Ok(vec![Opt::list("-chardev", socket), Opt::device(device)])
}
