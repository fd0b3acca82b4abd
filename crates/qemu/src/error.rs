//! Errors of a command line.

use passthru_domain::device::Item;
use passthru_domain::{Error as DomainError, SourceSpan};
use thiserror::Error;

/// An error that keeps a domain from having a command line.
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
        /// The missing part.
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
    /// The domain leaves its firmware to a choice, which was not made.
    #[error("no firmware was chosen for <os firmware='efi'>")]
    NoFirmware,
    /// QEMU, or this crate, has no option for a part of the domain.
    #[error("{what} is not supported{on}")]
    Unsupported {
        /// The part of the domain.
        what: String,
        /// The machine or architecture that lacks it, as ` on s390x`; else empty.
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

    /// Returns the error as one of the domain. `span` is the position of the element that it is
    /// about. What an incomplete domain lacks follows from other errors, so it has no position.
    pub(crate) fn in_domain(self, span: &SourceSpan) -> DomainError {
        let hint = self.hint();
        let error = match self {
            Self::Machine(error) => return error,
            Self::Incomplete { .. } | Self::NoBus { .. } | Self::NoFirmware => {
                DomainError::new(self.to_string())
            }
            Self::NoDevice(_) | Self::Unsupported { .. } => {
                DomainError::new(self.to_string()).at(span.0.clone())
            }
        };
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// Returns an imperative for the user, if one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Machine(error) => error.hint.clone(),
            Self::NoFirmware => Some("name its files with <loader> and <nvram>".into()),
            _ => None,
        }
    }
}
