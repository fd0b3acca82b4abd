//! A virtual function of a claimed device.

use std::fmt;

use passthru_pci::Address;
use serde::Serialize;

use super::owner::Owner;

/// A virtual function of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VirtualFunction {
    /// Address of the virtual function.
    pub address: Address,
    /// Current driver.
    pub driver: Option<String>,
    /// Owner of its claim.
    pub owner: Option<Owner>,
}

impl fmt::Display for VirtualFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        match (&self.owner, &self.driver) {
            (Some(owner), _) => write!(f, " ({owner})"),
            (None, Some(driver)) => write!(f, " (on {driver})"),
            (None, None) => Ok(()),
        }
    }
}
