//! `<video>`: graphics cards.

use super::{Info, virtio::VirtioOptions};
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// Model of a graphics card.
    pub enum VideoModel {
        /// Standard VGA.
        Vga = "vga",
        /// Cirrus Logic GD5446.
        Cirrus = "cirrus",
        /// VMware's SVGA.
        Vmvga = "vmvga",
        /// Xen's frame buffer; no emulator here has it.
        Xen = "xen",
        /// VirtualBox's; no emulator here has it.
        Vbox = "vbox",
        /// QXL, for SPICE.
        Qxl = "qxl",
        /// Parallels'; no emulator here has it.
        Parallels = "parallels",
        /// virtio-gpu, with VGA where the machine is a PC.
        Virtio = "virtio",
        /// bhyve's; no emulator here has it.
        Gop = "gop",
        /// None at all.
        None = "none",
        /// Bochs', without VGA.
        Bochs = "bochs",
        /// A frame buffer in memory, for firmware.
        Ramfb = "ramfb",
    }
}

words! {
    /// Who does a graphics card's work.
    pub enum VideoBackend {
        /// The emulator.
        Qemu = "qemu",
        /// A process of its own (`vhost-user-gpu`).
        VhostUser = "vhostuser",
    }
}

words! {
    /// How accesses to VGA's registers are met.
    pub enum VgaConf {
        /// Inputs and outputs.
        Io = "io",
        /// As the card is switched.
        On = "on",
        /// Not at all.
        Off = "off",
    }
}

/// A graphics card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Video {
    /// Alias and address.
    pub info: Info,
    /// Who does its work, and options of a virtio device.
    pub driver: Option<VideoDriver>,
    /// What it is.
    pub model: VideoModelElement,
}

/// `<driver>` of a graphics card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoDriver {
    /// Options of a virtio device.
    pub virtio: VirtioOptions,
    /// Who does its work; the emulator when absent.
    pub name: Option<VideoBackend>,
    /// How accesses to VGA's registers are met; no effect.
    pub vgaconf: Option<VgaConf>,
}

/// `<model>` of a graphics card. Sizes are in KiB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoModelElement {
    /// Model.
    pub kind: Option<VideoModel>,
    /// QXL's primary bar.
    pub ram: Option<u32>,
    /// Video memory; QXL's secondary bar.
    pub vram: Option<u32>,
    /// QXL's secondary bar above 4 GiB.
    pub vram64: Option<u32>,
    /// QXL's fallback to VGA.
    pub vgamem: Option<u32>,
    /// Number of screens.
    pub heads: Option<u32>,
    /// Whether it is the one that the guest starts with.
    pub primary: Option<bool>,
    /// Whether the host's memory is shown to the guest in blobs.
    pub blob: Option<bool>,
    /// Whether a monitor's description is made up.
    pub edid: Option<bool>,
    /// Help of the host's graphics card.
    pub acceleration: Option<Acceleration>,
    /// Size of the screen at start.
    pub resolution: Option<Resolution>,
}

/// `<acceleration>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acceleration {
    /// For two dimensions; no effect.
    pub accel2d: Option<bool>,
    /// For three.
    pub accel3d: Option<bool>,
    /// The host's render node, for a process of its own.
    pub rendernode: Option<String>,
}

/// `<resolution>`, in pixels.
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

    /// Whether it is the card that the guest starts with.
    pub fn is_primary(&self) -> bool {
        self.model.primary == Some(true)
    }

    /// Whether a process of its own does the work.
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
