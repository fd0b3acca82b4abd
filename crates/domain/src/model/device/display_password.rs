//! Passwords of screens, for the manager that sets them in the running emulator.

use std::fmt;

use super::graphics::{ConnectedPolicy, GraphicsType};
use crate::model::utc_time::UtcTime;

/// A password that clients of a screen must give.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DisplayPassword<'a> {
    /// Kind of the screen: VNC or SPICE.
    pub protocol: GraphicsType,
    /// The password.
    pub password: &'a str,
    /// End of the password's validity. If it is absent, the password stays valid.
    pub valid_to: Option<UtcTime>,
    /// Handling of sessions that are open when the password is set.
    pub connected: Option<ConnectedPolicy>,
}

/// Shows everything but the password, which must not reach a log.
impl fmt::Debug for DisplayPassword<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DisplayPassword")
            .field("protocol", &self.protocol)
            .field("valid_to", &self.valid_to)
            .field("connected", &self.connected)
            .finish_non_exhaustive()
    }
}
