//! `<video>`: graphics cards.

use super::{Info, virtio::VirtioOptions};
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The model of a graphics card.
    pub enum VideoModel {
        /// Standard VGA.
        Vga = "vga",
        /// Cirrus Logic GD5446.
        Cirrus = "cirrus",
        /// VMware SVGA.
        Vmvga = "vmvga",
        /// Xen's frame buffer; no supported emulator has it.
        Xen = "xen",
        /// VirtualBox's; no supported emulator has it.
        Vbox = "vbox",
        /// QXL (SPICE).
        Qxl = "qxl",
        /// Parallels'; no supported emulator has it.
        Parallels = "parallels",
        /// virtio-gpu, with VGA on a PC.
        Virtio = "virtio",
        /// bhyve's; no supported emulator has it.
        Gop = "gop",
        /// No graphics card.
        None = "none",
        /// Bochs display, without VGA.
        Bochs = "bochs",
        /// RAM frame buffer, for firmware.
        Ramfb = "ramfb",
    }
}

words! {
    /// The implementation of a graphics card.
    pub enum VideoBackend {
        /// The emulator.
        Qemu = "qemu",
        /// A vhost-user process (`vhost-user-gpu`).
        VhostUser = "vhostuser",
    }
}

words! {
    /// The decoding of VGA registers.
    pub enum VgaConf {
        /// Reads and writes.
        Io = "io",
        /// As the card's setting.
        On = "on",
        /// None.
        Off = "off",
    }
}

/// `<video>`: a graphics card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Video {
    /// Alias and address of the device.
    pub info: Info,
    /// Implementation, and options of the virtio device.
    pub driver: Option<VideoDriver>,
    /// Model and sizes.
    pub model: VideoModelElement,
}

/// `<driver>` of a graphics card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoDriver {
    /// Options of the virtio device.
    pub virtio: VirtioOptions,
    /// Implementation. If it is absent, the emulator.
    pub name: Option<VideoBackend>,
    /// Decoding of VGA registers; no effect.
    pub vgaconf: Option<VgaConf>,
}

/// `<model>` of a graphics card. Sizes are in KiB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoModelElement {
    /// Model.
    pub kind: Option<VideoModel>,
    /// Size of the primary bar (QXL).
    pub ram: Option<u32>,
    /// Size of the video memory, or of the secondary bar (QXL).
    pub vram: Option<u32>,
    /// Size of the secondary bar above 4 GiB (QXL).
    pub vram64: Option<u32>,
    /// Size of the VGA fallback (QXL).
    pub vgamem: Option<u32>,
    /// Number of screens.
    pub heads: Option<u32>,
    /// Primary card, which firmware uses.
    pub primary: Option<bool>,
    /// Blob resources: memory of the host that the guest maps.
    pub blob: Option<bool>,
    /// Emulated EDID of a monitor.
    pub edid: Option<bool>,
    /// Acceleration by the host's graphics card.
    pub acceleration: Option<Acceleration>,
    /// Resolution at start.
    pub resolution: Option<Resolution>,
}

/// `<acceleration>`: acceleration by the host's graphics card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acceleration {
    /// 2D acceleration; no effect.
    pub accel2d: Option<bool>,
    /// 3D acceleration.
    pub accel3d: Option<bool>,
    /// Path of the host's render node, for a vhost-user process.
    pub rendernode: Option<String>,
}

/// `<resolution>`: a resolution in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Resolution {
    /// Width.
    pub x: u32,
    /// Height.
    pub y: u32,
}

impl Video {
    /// Returns the model.
    pub const fn model(&self) -> Option<VideoModel> {
        self.model.kind
    }

    /// Returns whether the card is the primary one.
    pub fn is_primary(&self) -> bool {
        self.model.primary == Some(true)
    }

    /// Returns whether a vhost-user process implements the card.
    pub fn is_vhost_user(&self) -> bool {
        self.driver.as_ref().and_then(|d| d.name) == Some(VideoBackend::VhostUser)
    }
}

impl Element for Video {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.child("driver", &mut self.driver);
        let mut model = (!v.reading()).then(|| std::mem::take(&mut self.model));
        v.child("model", &mut model);
        self.model = model.unwrap_or_default();
        self.info.visit(v);
    }
}

impl Element for VideoDriver {
    fn visit(&mut self, v: &mut dyn Visitor) {
        self.virtio.visit(v);
        v.attr("name", &mut self.name);
        v.attr("vgaconf", &mut self.vgaconf);
    }
}

impl Element for VideoModelElement {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("ram", &mut self.ram);
        v.attr("vram", &mut self.vram);
        v.attr("vram64", &mut self.vram64);
        v.attr("vgamem", &mut self.vgamem);
        v.attr("heads", &mut self.heads);
        v.yes_no("primary", &mut self.primary);
        v.on_off("blob", &mut self.blob);
        v.on_off("edid", &mut self.edid);
        v.child("acceleration", &mut self.acceleration);
        v.child("resolution", &mut self.resolution);
    }
}

impl Element for Acceleration {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("accel3d", &mut self.accel3d);
        v.yes_no("accel2d", &mut self.accel2d);
        visit_as::<FilePath>(&mut self.rendernode, |path| v.attr("rendernode", path));
    }
}

impl Element for Resolution {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("x", &mut self.x);
        v.required("y", &mut self.y);
    }
}
