//! [`KernelLog`]: the log of the virtual host's kernel, shown after a failure.

use std::fs;
use std::path::Path;

/// Line that init writes before the job.
const JOB_BEGINS: &str = "passthru-lab: the job begins";

/// Number of lines shown.
const SHOWN: usize = 25;

/// Words by which the kernel reports its own faults.
const FAULTS: &[&str] = &[
    "BUG:",
    "WARNING:",
    "Oops:",
    "Kernel panic",
    "general protection fault",
    "Call Trace:",
];

/// A kernel log, as read at one moment.
pub(super) struct KernelLog {
    text: String,
}

impl KernelLog {
    /// Reads a log; a missing one counts as empty.
    pub(super) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        Self {
            text: String::from_utf8_lossy(&bytes).replace('\r', ""),
        }
    }

    /// Returns whether the boot reached the job.
    pub(super) fn booted(&self) -> bool {
        self.text.contains(JOB_BEGINS)
    }

    /// Returns whether the kernel reports a fault of its own.
    pub(super) fn has_fault(&self) -> bool {
        FAULTS.iter().any(|fault| self.text.contains(fault))
    }

    /// Returns the lines to show: those around the first fault, or else the last ones.
    ///
    /// Of a completed boot, only lines since the begin of the job are shown.
    pub(super) fn tail(&self) -> Vec<&str> {
        let lines: Vec<_> = self.text.lines().collect();
        let first_fault = lines
            .iter()
            .position(|line| FAULTS.iter().any(|fault| line.contains(fault)));
        if let Some(fault) = first_fault {
            return lines[fault.saturating_sub(2)..]
                .iter()
                .take(SHOWN)
                .copied()
                .collect();
        }

        let job = lines
            .iter()
            .position(|line| line.contains(JOB_BEGINS))
            .map_or(0, |line| line + 1);
        lines[job.max(lines.len().saturating_sub(SHOWN))..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_of_the_job_are_shown() {
        let log = KernelLog {
            text: format!("boot\n[1] {JOB_BEGINS}\nvfio-pci 0000:01:00.0: resetting\n"),
        };
        assert!(log.booted() && !log.has_fault());
        assert_eq!(log.tail(), ["vfio-pci 0000:01:00.0: resetting"]);
    }

    #[test]
    fn failed_boot_shows_the_end_of_its_log() {
        let text: String = (0..100).map(|line| format!("{line}\n")).collect();
        assert_eq!(KernelLog { text }.tail().last(), Some(&"99"));
    }

    #[test]
    fn fault_is_shown_with_the_lines_after_it() {
        let log = KernelLog {
            text: format!("a\nb\nc\nWARNING: CPU: 0 PID: 1\nat x\n[1] {JOB_BEGINS}\n"),
        };
        assert!(log.has_fault());
        assert_eq!(log.tail()[..3], ["b", "c", "WARNING: CPU: 0 PID: 1"]);
    }
}
