//! [`VirtualHost`]: a proof that a test runs on the virtual host.

use std::fs;
use std::path::Path;

/// Kernel parameter of the virtual host, which no other machine has.
pub const PARAMETER: &str = "passthru.lab=virtual-host";

/// File that the virtual host's init creates.
pub const MARKER: &str = "/run/passthru-lab/virtual-host";

/// Proof of running on the virtual host, as returned by [`host()`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct VirtualHost;

/// Proves that this is the virtual host. Call this first in each test that touches devices.
///
/// # Panics
/// On any other machine.
#[must_use]
#[expect(clippy::panic, reason = "a guard of tests")]
pub fn host() -> VirtualHost {
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if !is_virtual_host(&command_line, Path::new(MARKER)) {
        panic!("this test runs on the virtual host only: cargo xtask lab test");
    }
    VirtualHost
}

impl VirtualHost {
    /// Returns whether the running kernel is of this version or newer, such as `(7, 3)`.
    ///
    /// # Panics
    /// If the kernel's release does not begin with two numbers.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a guard of tests")]
    pub fn kernel_is_since(self, version: (u32, u32)) -> bool {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        parse_version(&release).expect("the kernel's release begins with two numbers") >= version
    }
}

/// Parses the first two numbers of a release such as `7.3.4-amd64`.
fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-', '\n']);
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

fn is_virtual_host(command_line: &str, marker: &Path) -> bool {
    command_line
        .split_whitespace()
        .any(|word| word == PARAMETER)
        && marker.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_host_needs_parameter_and_marker() {
        let marker = Path::new("/");
        assert!(is_virtual_host(
            "root=/dev/sda passthru.lab=virtual-host quiet\n",
            marker
        ));
        assert!(!is_virtual_host(
            "root=/dev/sda passthru.lab=virtual-hosts\n",
            marker
        ));
        assert!(!is_virtual_host(
            PARAMETER,
            Path::new("/nonexistent/marker")
        ));
    }

    #[test]
    fn version_is_read_from_any_release() {
        for (release, version) in [
            ("7.2.12\n", (7, 2)),
            ("7.3-rc1\n", (7, 3)),
            ("10.0.1-amd64", (10, 0)),
        ] {
            assert_eq!(parse_version(release), Some(version), "{release}");
        }

        assert_eq!(parse_version(""), None);
        assert_eq!(parse_version("next\n"), None);
    }
}
