//! `<input>`: mice, tablets, keyboards, and those of the host.

use super::Info;
use super::virtio::{VirtioModel, VirtioOptions};
use crate::xml::text::{FilePath, visit_as};
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// What an input device is.
    pub enum InputType {
        /// A pointer that reports movements.
        Mouse = "mouse",
        /// A pointer that reports positions.
        Tablet = "tablet",
        /// A keyboard.
        Keyboard = "keyboard",
        /// A device of the host, as a virtio device.
        Passthrough = "passthrough",
        /// A device of the host, through whichever input device the guest has.
        Evdev = "evdev",
    }
}

words! {
    /// Bus that an input device is on.
    pub enum InputBus {
        /// The PC's own port.
        Ps2 = "ps2",
        /// USB.
        Usb = "usb",
        /// virtio-input.
        Virtio = "virtio",
    }
}

words! {
    /// What is grabbed together with a device.
    pub enum InputGrab {
        /// All other devices.
        All = "all",
    }
}

words! {
    /// Keys that switch a device between host and guest.
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

/// An input device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// Alias and address.
    pub info: Info,
    /// What it is.
    pub kind: Option<InputType>,
    /// Bus that it is on.
    pub bus: Option<InputBus>,
    /// Model of a virtio device.
    pub model: Option<VirtioModel>,
    /// Options of a virtio device.
    pub driver: Option<VirtioOptions>,
    /// The host's device.
    pub source: Option<InputSource>,
}

/// `<source>` of an input device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputSource {
    /// Event device of the host, for `passthrough`.
    pub evdev: Option<String>,
    /// Event device of the host, for `evdev`.
    pub dev: Option<String>,
    /// What else is grabbed.
    pub grab: Option<InputGrab>,
    /// Keys that switch between host and guest.
    pub grab_toggle: Option<GrabToggle>,
    /// Whether keys repeat.
    pub repeat: Option<bool>,
}

impl Input {
    /// Makes an input device, as `complete` does.
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
