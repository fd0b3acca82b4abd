//! Why a domain has no command line.

use passthru_domain::device::Item;
use thiserror::Error;

/// Why a domain has no command line.
#[derive(Debug, Error)]
pub enum Error {
    /// The machine type is not known.
    #[error("{0}")]
    Machine(passthru_domain::Error),
    /// A device has no alias or address yet.
    #[error("{device} has no {lacks}: the domain was not completed")]
    Incomplete {
        /// The device.
        device: String,
        /// What it has not.
        lacks: &'static str,
    },
    /// The domain has no such device.
    #[error("the domain has no device {0:?}")]
    NoDevice(Item),
    /// A PCI address names a bus without a controller.
    #[error("{device} is on PCI bus {bus}, but no controller provides that bus")]
    NoBus {
        /// The device.
        device: String,
        /// Number of the bus.
        bus: u8,
    },
    /// There is no option for it.
    #[error("{what} is not supported{on}")]
    Unsupported {
        /// What the domain asks for.
        what: String,
        /// Where it is not: ` on s390x`, or nothing.
        on: String,
    },
}

impl Error {
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported {
            what: what.into(),
            on: String::new(),
        }
    }

    pub(crate) fn unsupported_on(what: impl Into<String>, on: impl std::fmt::Display) -> Self {
        Self::Unsupported {
            what: what.into(),
            on: format!(" on {on}"),
        }
    }

    /// Returns what the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Machine(error) => error.hint.clone(),
            _ => None,
        }
    }
}
