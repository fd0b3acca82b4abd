//! `<video>`: graphics cards.

use passthru_domain::Board;
use passthru_domain::device::Video;
use passthru_domain::device::video::VideoModel;

use super::{pci, virtio};
use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Object, Opt, Want, WantKind};

/// Number of bytes in a KiB.
const KIB: u64 = 1024;

/// Returns the options of a graphics card; none for a card of model `none`.
pub(crate) fn device(context: &Context<'_>, video: &Video) -> Result<Vec<Opt>, Error> {
    if video.model() == Some(VideoModel::None) {
        return Ok(Vec::new());
    }
    let id = video.info.id();
    let device = driver(context, video)?
        .with("id", id)
        .and(properties(video));
    if !video.is_vhost_user() {
        return Ok(vec![Opt::device(device.and(place(context, video)?))]);
    }
    let chardev = format!("chr-vu-{id}");
    let kind = WantKind::Connected {
        path: context.state_path(&format!("{id}-vhost-user-gpu.sock")),
    };
    let socket = List::new("socket").with("id", chardev.as_str());
    let socket = if context.is_standalone() {
        socket.with(
            "path",
            context.state_path(&format!("{id}-vhost-user-gpu.sock")),
        )
    } else {
        socket.with(
            "fd",
            Want {
                name: format!("{id}-vhost-user"),
                kind,
            },
        )
    };
    let device = device.with("chardev", chardev).and(place(context, video)?);
    Ok(vec![Opt::list("-chardev", socket), Opt::device(device)])
}

fn place(context: &Context<'_>, video: &Video) -> Result<Object, Error> {
    match video.model() {
        Some(VideoModel::Ramfb) => Ok(Object::default()),
        _ => pci::address(context, &video.info),
    }
}

/// Returns the driver of a card. The primary card of a PC has VGA. A virtio card with VGA has no
/// options of virtio.
fn driver(context: &Context<'_>, video: &Video) -> Result<Object, Error> {
    let vga =
        video.is_primary() && matches!(context.board(), Board::I440fx | Board::Q35 | Board::Isapc);
    let accel3d = video.model.acceleration.as_ref().and_then(|a| a.accel3d) == Some(true);
    Ok(match video.model() {
        Some(VideoModel::Virtio) => {
            let name = match (vga, video.is_vhost_user(), accel3d) {
                (true, true, _) => "vhost-user-vga",
                (true, false, true) => "virtio-vga-gl",
                (true, false, false) => "virtio-vga",
                (false, true, _) => "vhost-user-gpu",
                (false, false, true) => "virtio-gpu-gl",
                (false, false, false) => "virtio-gpu",
            };
            if vga {
                Object::driver(name)
            } else {
                let options = video.driver.as_ref().map(|driver| driver.virtio);
                virtio::device(name, None, options, &video.info)?
            }
        }
        Some(VideoModel::Vga) => Object::driver("VGA"),
        Some(VideoModel::Cirrus) => Object::driver("cirrus-vga"),
        Some(VideoModel::Vmvga) => Object::driver("vmware-svga"),
        Some(VideoModel::Qxl) => Object::driver(if vga { "qxl-vga" } else { "qxl" }),
        Some(VideoModel::Bochs) => Object::driver("bochs-display"),
        Some(VideoModel::Ramfb) => Object::driver("ramfb"),
        other => {
            let model = other.map_or("none", VideoModel::as_str);
            return Err(Error::unsupported(format!(
                "a graphics card of model '{model}'"
            )));
        }
    })
}

fn properties(video: &Video) -> Object {
    let model = &video.model;
    let size = model.resolution;
    let none = Object::default();
    let properties = match model.kind {
        Some(VideoModel::Virtio) => none
            .maybe("max_outputs", model.heads)
            .maybe("blob", model.blob),
        Some(VideoModel::Qxl) => none
            .maybe("max_outputs", model.heads)
            .maybe("ram_size", model.ram.map(bytes))
            .maybe("vram_size", model.vram.map(bytes))
            .with("vram64_size_mb", model.vram64.map_or(0, mib))
            .maybe("vgamem_mb", model.vgamem.map(mib)),
        Some(VideoModel::Vga | VideoModel::Vmvga) => none.maybe("vgamem_mb", model.vram.map(mib)),
        Some(VideoModel::Bochs) => none.maybe("vgamem", model.vram.map(bytes)),
        _ => none,
    };
    properties
        .maybe("edid", model.edid)
        .maybe("xres", size.map(|size| size.x))
        .maybe("yres", size.map(|size| size.y))
}

fn bytes(kib: u32) -> u64 {
    u64::from(kib) * KIB
}

const fn mib(kib: u32) -> u32 {
    kib / 1024
}
