//! The small guest: the virtual host's kernel, and an initrd of one static busybox.

/// Text that the guest prints before the checksum.
pub const SUM_BEGIN: &str = "<<sha256";

/// Text that the guest prints after the checksum.
pub const SUM_END: &str = "sha256>>";

/// A small guest, whose init does one thing and powers off.
///
/// A test passes [`Guest::kernel_arguments`] to the VMM under test.
#[derive(Debug, Clone, Default)]
pub struct Guest {
    run: Option<String>,
}

impl Guest {
    /// Path of the guest's kernel on the virtual host (bzImage).
    pub const KERNEL: &'static str = "/boot/guest/vmlinuz";

    /// Path of the guest's initrd on the virtual host (gzipped cpio).
    pub const INITRD: &'static str = "/boot/guest/initrd.gz";

    /// Returns a guest that prints the SHA-256 of /dev/nvme0n1 between [`SUM_BEGIN`] and
    /// [`SUM_END`], and powers off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the guest run `script` instead: one line of busybox's shell, without double quotes.
    #[must_use]
    pub fn run(mut self, script: impl Into<String>) -> Self {
        self.run = Some(script.into());
        self
    }

    /// Returns the kernel's command line, for `-append` or `<cmdline>`.
    #[must_use]
    pub fn kernel_arguments(&self) -> String {
        let base = "console=ttyS0 quiet panic=-1";
        match &self.run {
            None => base.to_owned(),
            Some(script) => format!("{base} \"passthru.run={script}\""),
        }
    }
}

/// Finds the checksum in the output of the guest's console.
#[must_use]
pub fn sum_in(console: &str) -> Option<&str> {
    let (_, rest) = console.split_once(SUM_BEGIN)?;
    let (sum, _) = rest.split_once(SUM_END)?;
    Some(sum.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_found_among_other_output() {
        let console = format!("SeaBIOS\r\n{SUM_BEGIN}\r\nabc123\r\n{SUM_END}\r\n[ 1.0] reboot\r\n");
        assert_eq!(sum_in(&console), Some("abc123"));
        assert_eq!(sum_in("no sum here"), None);
    }

    #[test]
    fn script_is_one_word_of_the_command_line() {
        let arguments = Guest::new().run("echo a b").kernel_arguments();
        assert!(arguments.ends_with("\"passthru.run=echo a b\""));
    }
}
