//! `<reconnect>` of a source: a new connection after a lost one.

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

/// `<reconnect>` of a disk's source: either the delay of an NBD connection, or the reconnection to
/// a vhost-user process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskReconnect {
    /// Seconds for which requests wait for a new NBD connection before they fail.
    pub delay: Option<u32>,
    /// Reconnection to a vhost-user process.
    pub socket: Reconnect,
}

impl Element for DiskReconnect {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("delay", &mut self.delay);
        if self.delay.is_none() {
            self.socket.visit(v);
        }
    }
}
