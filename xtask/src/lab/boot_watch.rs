//! [`BootWatch`]: progress of a boot, by the growth of the kernel log.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::kernel_log::KernelLog;

/// Progress of a boot, measured by the growth of the kernel log.
#[derive(Debug)]
pub(super) struct BootWatch {
    log: PathBuf,
    length: u64,
    since: Instant,
    done: bool,
}

impl BootWatch {
    pub(super) fn new(log: PathBuf) -> Self {
        Self {
            log,
            length: 0,
            since: Instant::now(),
            done: false,
        }
    }

    /// Returns whether the boot made no progress for `limit`. A finished boot is never stuck.
    pub(super) fn is_stuck(&mut self, limit: Duration) -> bool {
        let length = fs::metadata(&self.log).map_or(0, |file| file.len());
        if !self.done && length != self.length {
            self.length = length;
            self.since = Instant::now();
            self.done = KernelLog::read(&self.log).booted();
        }

        !self.done && self.since.elapsed() > limit
    }
}

#[cfg(test)]
mod tests {
    use std::{env, thread};

    use super::*;

    #[test]
    fn boot_without_log_before_the_job_is_stuck() {
        let log = env::temp_dir().join(format!("passthru-kernel-log-{}", std::process::id()));
        let mut watch = BootWatch::new(log.clone());
        thread::sleep(Duration::from_millis(2));
        assert!(watch.is_stuck(Duration::from_millis(1)));

        fs::write(&log, "vgaarb: loaded\n").unwrap();
        assert!(!watch.is_stuck(Duration::from_secs(60)));

        thread::sleep(Duration::from_millis(2));
        assert!(watch.is_stuck(Duration::from_millis(1)));

        fs::write(&log, "vgaarb: loaded\npassthru-lab: the job begins\n").unwrap();
        assert!(!watch.is_stuck(Duration::from_secs(60)));

        thread::sleep(Duration::from_millis(2));
        assert!(!watch.is_stuck(Duration::from_millis(1)));

        fs::remove_file(&log).unwrap();
    }
}
