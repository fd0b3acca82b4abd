//! The small guest: the virtual host's own kernel and an initrd of one static busybox, whose init
//! does one thing and powers off. Not a guest of its own making: a test gives
//! [`Guest::kernel_arguments`] to the VMM that it tests.

/// Printed by the guest before the checksum.
pub const SUM_BEGIN: &str = "<<sha256";

/// Printed by the guest after the checksum.
pub const SUM_END: &str = "sha256>>";

/// The guest's files, and what its init is told.
#[derive(Debug, Clone, Default)]
pub struct Guest {
    run: Option<String>,
}

impl Guest {
    /// Where the virtual host has the guest's kernel (bzImage).
    pub const KERNEL: &'static str = "/boot/guest/vmlinuz";

    /// Where the virtual host has the guest's initrd (cpio).
    pub const INITRD: &'static str = "/boot/guest/initrd.gz";

    /// A guest that prints the SHA-256 of /dev/nvme0n1 between [`SUM_BEGIN`] and [`SUM_END`] and
    /// powers off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the guest run `script` (busybox's shell, one line, without double quotes) instead.
    #[must_use]
    pub fn run(mut self, script: impl Into<String>) -> Self {
        self.run = Some(script.into());
        self
    }

    /// The kernel's command line: `-append`, or `<cmdline>`.
    #[must_use]
    pub fn kernel_arguments(&self) -> String {
        let base = "console=ttyS0 quiet panic=-1";
        match &self.run {
            None => base.to_owned(),
            Some(script) => format!("{base} \"passthru.run={script}\""),
        }
    }
}

/// Finds the checksum in what the guest printed on its console.
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
