//! `<teaming>`: a teaming pair of network devices: a virtio card takes over while the host's device
//! is unplugged for a migration.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// A device's part in a teaming pair.
    pub enum TeamingType {
        /// The virtio card, which stays.
        Persistent = "persistent",
        /// The device of the host, which is unplugged for a migration.
        Transient = "transient",
    }
}

/// `<teaming>`: a device's part in a teaming pair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Teaming {
    /// Part of the device.
    pub kind: Option<TeamingType>,
    /// Alias of the persistent device, for the transient one.
    pub persistent: Option<String>,
}

impl Element for Teaming {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("type", &mut self.kind);
        v.attr("persistent", &mut self.persistent);
        match (self.kind, &self.persistent) {
            (None, _) => v.error("<teaming> needs the attribute 'type'".into()),
            (Some(TeamingType::Transient), None) => {
                v.error(
                    "<teaming type='transient'> needs 'persistent', the alias of the persistent \
                     card"
                        .into(),
                );
            }
            (Some(TeamingType::Persistent), Some(_)) => {
                v.error("<teaming type='persistent'> cannot have 'persistent'".into());
            }
            _ => {}
        }
    }
}
