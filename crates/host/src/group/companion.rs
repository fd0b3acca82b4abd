//! Companions: the devices that keep an IOMMU group on the host.

use std::fmt;

use passthru_pci::Address;
use serde::Serialize;

use crate::{Usage, abridge};

/// A device that keeps its IOMMU group from leaving the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Companion {
    /// Address of the device.
    pub address: Address,
    /// Name of the device or of its class, if known.
    pub name: Option<String>,
    /// Current driver.
    pub driver: Option<String>,
    /// Usages by the host or by another guest.
    #[serde(rename = "uses")]
    pub usages: Vec<Usage>,
}

impl fmt::Display for Companion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(name) = &self.name {
            write!(f, " ({name})")?;
        }
        let driver = self.driver.as_deref().unwrap_or("no driver");
        write!(f, ", which is on {driver}")?;
        if !self.usages.is_empty() {
            write!(f, " and has {}", abridge(&self.usages, ", "))?;
        }
        Ok(())
    }
}
