//! The guard: a proof that the test runs on the virtual host.

use std::fs;
use std::path::Path;

/// The kernel parameter that the lab boots the virtual host with, and nobody else.
pub const PARAMETER: &str = "passthru.lab=virtual-host";

/// The file that the virtual host's init leaves.
pub const MARKER: &str = "/run/passthru-lab/virtual-host";

/// Proof of being on the virtual host; got from [`host()`] only.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct VirtualHost;

/// Proves that this is the virtual host. To be called first in each test that touches devices.
///
/// # Panics
/// Anywhere else.
#[must_use]
#[expect(clippy::panic, reason = "a guard of tests")]
pub fn host() -> VirtualHost {
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if !is_virtual_host(&command_line, Path::new(MARKER)) {
        panic!("this test runs on the virtual host only: cargo xtask lab test");
    }
    VirtualHost
}

fn is_virtual_host(command_line: &str, marker: &Path) -> bool {
    command_line.split_whitespace().any(|word| word == PARAMETER) && marker.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_both_the_parameter_and_the_marker() {
        let marker = Path::new("/");
        assert!(is_virtual_host("root=/dev/sda passthru.lab=virtual-host quiet\n", marker));
        assert!(!is_virtual_host("root=/dev/sda passthru.lab=virtual-hosts\n", marker));
        assert!(!is_virtual_host(PARAMETER, Path::new("/nonexistent/marker")));
    }
}
