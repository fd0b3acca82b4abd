//! `<reconnect>` of a source: reconnection after a lost connection.

use crate::xml::{Element, Visitor};

/// `<reconnect>`: reconnection after a lost connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reconnect {
    /// Whether to reconnect.
    pub enabled: Option<bool>,
    /// Seconds to wait before reconnecting.
    pub timeout: Option<u32>,
}

impl Element for Reconnect {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.yes_no("enabled", &mut self.enabled);
        v.attr("timeout", &mut self.timeout);
        match (self.enabled, self.timeout) {
            (None, _) => v.error("<reconnect> needs the attribute 'enabled'".into()),
            (Some(true), None | Some(0)) => {
                v.error(
                    "<reconnect enabled='yes'> needs a 'timeout' above zero, in seconds".into(),
                );
            }
            _ => {}
        }
    }
}
