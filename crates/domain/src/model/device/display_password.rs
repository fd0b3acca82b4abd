//! Passwords of screens, for the manager that sets them in the running emulator.

use super::graphics::{ConnectedPolicy, GraphicsType};
use crate::model::password::Password;
use crate::model::utc_time::UtcTime;

/// A password that clients of a screen must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplayPassword<'a> {
    /// Kind of the screen: VNC or SPICE.
    pub protocol: GraphicsType,
    /// The password.
    pub password: &'a Password,
    /// End of the password's validity. If it is absent, the password stays valid.
    pub valid_to: Option<UtcTime>,
    /// Handling of sessions that are open when the password is set.
    pub connected: Option<ConnectedPolicy>,
}
