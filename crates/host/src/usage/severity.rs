//! Severity of a usage.

use serde::Serialize;

/// Severity of a usage: the effect on the host if the device is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The user should know of the usage. Nothing breaks.
    Informs,
    /// The host breaks or loses data.
    Blocks,
}
