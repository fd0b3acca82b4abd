//! Errors of a probe.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::monitor;

/// An error of a probe.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The binary cannot be started.
    #[error("cannot start {binary}", binary = binary.display())]
    Start {
        /// Path of the binary.
        binary: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// The binary does not answer.
    #[error(
        "cannot query the capabilities of {binary}{stderr}",
        binary = binary.display(),
        stderr = stderr_suffix(stderr)
    )]
    Ask {
        /// Path of the binary.
        binary: PathBuf,
        /// Standard error of the binary, shortened.
        stderr: String,
        /// The error of the QMP client.
        source: monitor::Error,
    },
    /// An answer does not have the form of a QEMU's answer.
    #[error("{binary} sent an unexpected reply to {command}: {answer}", binary = binary.display())]
    Answer {
        /// Path of the binary.
        binary: PathBuf,
        /// The QMP command.
        command: String,
        /// The answer, shortened.
        answer: String,
    },
    /// The binary is for an architecture that is not supported.
    #[error("{binary} is for {target}, which is not supported", binary = binary.display())]
    Target {
        /// Path of the binary.
        binary: PathBuf,
        /// QEMU's name of the architecture.
        target: String,
    },
}

impl ProbeError {
    /// Returns an imperative for the user, if one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Start { binary, source } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!(
                    "install QEMU{}, or name another one in <emulator>",
                    debian_package(binary)
                ))
            }
            Self::Start { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("make the file executable, or name another one in <emulator>".into())
            }
            _ => None,
        }
    }
}

/// Returns the Debian package of an emulator with a known name, in brackets.
fn debian_package(binary: &Path) -> &'static str {
    match binary.file_name().and_then(|name| name.to_str()) {
        Some("qemu-system-x86_64" | "qemu-system-i386") => " (Debian: qemu-system-x86)",
        Some("qemu-system-aarch64" | "qemu-system-arm") => " (Debian: qemu-system-arm)",
        Some("qemu-system-s390x") => " (Debian: qemu-system-misc or qemu-system-s390x)",
        _ => "",
    }
}

/// Returns the part of a message that shows the standard error.
fn stderr_suffix(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!("; it wrote: {stderr}")
    }
}
