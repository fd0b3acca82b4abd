//! Firmware: flash memories as block nodes, or `-bios`.

use super::block::{FileNode, file_node, layers_raw};
use super::opt::{List, Object, Opt};
use super::want::{Access, By, Want};
use super::{Context, Error, NVRAM_DIR};
use passthru_domain::{Loader, LoaderType};

/// The block nodes of the flash memories, and `-bios`.
pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let Some(loader) = &context.domain.os.loader else { return Ok(Vec::new()) };
    let Some(path) = &loader.path else { return Ok(Vec::new()) };
    if !is_flash(loader) {
        return Ok(vec![Opt::plain("-bios", Want::file("firmware", path, Access::ReadOnly, By::Copy))]);
    }
    let mut nodes = layered_node("pflash0", path, is_readonly(loader));
    if let Some(path) = nvram(context) {
        nodes.extend(nvram_nodes(context, &path));
    }
    Ok(nodes)
}

/// Names the flash memories' nodes at the machine.
pub(super) fn on_machine(context: &Context<'_>, list: List) -> List {
    if !context.domain.os.loader.as_ref().is_some_and(|loader| loader.path.is_some() && is_flash(loader)) {
        return list;
    }
    let variables = nvram(context).map(|_| match layers_raw(context) {
        true => "libvirt-pflash1-format",
        false => "libvirt-pflash1-storage",
    });
    list.with("pflash0", "libvirt-pflash0-format").maybe("pflash1", variables)
}

fn is_flash(loader: &Loader) -> bool {
    loader.kind == Some(LoaderType::Pflash)
}

/// Flash memory is written to only where the domain says that it is no read-only one.
fn is_readonly(loader: &Loader) -> bool {
    loader.readonly == Some(true)
}

/// The file of the firmware's variables. Without a path it is in the guest's own folder, or, where nobody
/// keeps that one, in a folder that outlives a reboot of the host.
fn nvram(context: &Context<'_>) -> Option<String> {
    let nvram = context.domain.os.nvram.as_ref()?;
    let unsaid = || match context.is_standalone() {
        true => format!("{NVRAM_DIR}/{}_VARS.fd", context.name()),
        false => context.state_path("nvram"),
    };
    Some(nvram.file().map_or_else(unsaid, str::to_owned))
}

/// The variables are a raw image like any other; the code always has a format node.
fn nvram_nodes(context: &Context<'_>, path: &str) -> Vec<Opt> {
    if layers_raw(context) {
        return layered_node("pflash1", path, false);
    }
    let want = Want::file("libvirt-pflash1-storage", path, Access::ReadWrite, By::FdSet);
    vec![Opt::json("-blockdev", file_node("file", want, &FileNode::plain(false)))]
}

/// A file's node with a raw one above it.
fn layered_node(name: &str, path: &str, readonly: bool) -> Vec<Opt> {
    let access = if readonly { Access::ReadOnly } else { Access::ReadWrite };
    let storage = format!("libvirt-{name}-storage");
    let want = Want::file(storage.as_str(), path, access, By::FdSet);
    let format = Object::default()
        .with("node-name", format!("libvirt-{name}-format"))
        .with("read-only", readonly)
        .with("driver", "raw")
        .with("file", storage);
    vec![
        Opt::json("-blockdev", file_node("file", want, &FileNode::below_format())),
        Opt::json("-blockdev", format),
    ]
}
