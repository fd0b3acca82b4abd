//! `<teaming>`: two network devices of which one steps in while the other is away, as for a
//! migration.

use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// A device's part in a pair.
    pub enum TeamingType {
        /// The one that stays: a virtio card.
        Persistent = "persistent",
        /// The one that is unplugged for a migration: a device of the host.
        Transient = "transient",
    }
}

/// A device's part in a pair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Teaming {
    /// Which part.
    pub kind: Option<TeamingType>,
    /// Alias of the one that stays (transient).
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
                    "<teaming type='transient'> needs 'persistent', the alias of the persistent card".into(),
                );
            }
            (Some(TeamingType::Persistent), Some(_)) => {
                v.error("<teaming type='persistent'> cannot have 'persistent'".into());
            }
            _ => {}
        }
    }
}
