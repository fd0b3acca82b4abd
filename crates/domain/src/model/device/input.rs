//! `<input>`: mice, tablets and keyboards, of the guest or of the host.

use super::Info;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The kind of an input device.
    pub enum InputType {
        /// A pointer device that reports movements.
        Mouse = "mouse",
        /// A pointer device that reports positions.
        Tablet = "tablet",
        /// A keyboard.
        Keyboard = "keyboard",
        /// A device of the host as a virtio device.
        Passthrough = "passthrough",
        /// A device of the host, whose events reach any input device of the guest.
        Evdev = "evdev",
    }
}

words! {
    /// The bus of an input device.
    pub enum InputBus {
        /// PS/2 port of the PC.
        Ps2 = "ps2",
        /// USB.
        Usb = "usb",
        /// virtio-input.
        Virtio = "virtio",
    }
}

words! {
    /// The devices that are grabbed together with a device of the host.
    pub enum InputGrab {
        /// All other devices.
        All = "all",
    }
}

words! {
    /// The keys that switch a device between host and guest.
    pub enum GrabToggle {
        /// Both Ctrl keys.
        CtrlCtrl = "ctrl-ctrl",
        /// Both Alt keys.
        AltAlt = "alt-alt",
        /// Both Shift keys.
        ShiftShift = "shift-shift",
        /// Both Meta keys.
        MetaMeta = "meta-meta",
        /// Scroll Lock.
        Scrolllock = "scrolllock",
        /// Ctrl and Scroll Lock.
        CtrlScrolllock = "ctrl-scrolllock",
    }
}

/// `<input>`: an input device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// Alias and address of the device.
    pub info: Info,
    /// Kind of the device.
    pub kind: Option<InputType>,
    /// Bus of the device.
    pub bus: Option<InputBus>,
    /// Model of a virtio device.
    pub model: Option<VirtioModel>,
    /// Options of the virtio device.
    pub driver: Option<VirtioOptions>,
    /// Device of the host.
    pub source: Option<InputSource>,
}

/// `<source>` of an input device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputSource {
    /// Path of the host's event device, for `passthrough`.
    pub evdev: Option<String>,
    /// Path of the host's event device, for `evdev`.
    pub dev: Option<String>,
    /// Further devices to grab.
    pub grab: Option<InputGrab>,
    /// Keys that switch the device between host and guest.
    pub grab_toggle: Option<GrabToggle>,
    /// Key repeat.
    pub repeat: Option<bool>,
}

impl Input {
    /// Creates an input device without an alias and an address.
    pub fn new(kind: InputType, bus: InputBus) -> Self {
        Self {
            kind: Some(kind),
            bus: Some(bus),
            ..Self::default()
        }
    }
}

impl Element for Input {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("bus", &mut self.bus);
        v.attr("model", &mut self.model);
        v.child("driver", &mut self.driver);
        v.child("source", &mut self.source);
        self.info.visit(v);
        let source = self.source.as_ref();
        match self.kind {
            None => v.error("<input> needs the attribute 'type'".into()),
            Some(InputType::Passthrough) if source.is_none_or(|s| s.evdev.is_none()) => {
                v.error("an <input> of type 'passthrough' needs a <source evdev='…'/>".into());
            }
            Some(InputType::Evdev) if source.is_none_or(|s| s.dev.is_none()) => {
                v.error("an <input> of type 'evdev' needs a <source dev='…'/>".into());
            }
            Some(_) => {}
        }
    }
}

impl Element for InputSource {
    fn visit(&mut self, v: &mut dyn Visitor) {
        visit_as::<FilePath>(&mut self.evdev, |path| v.attr("evdev", path));
        visit_as::<FilePath>(&mut self.dev, |path| v.attr("dev", path));
        v.attr("grab", &mut self.grab);
        v.attr("grabToggle", &mut self.grab_toggle);
        v.on_off("repeat", &mut self.repeat);
    }
}
