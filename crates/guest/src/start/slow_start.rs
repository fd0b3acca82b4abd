//! The warning about a VMM that has NVMe disks and does not set its machine up.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::plan::nvme::NvmeController;

/// Time for a VMM with NVMe disks to set the machine up, before the warning.
const LIMIT: Duration = Duration::from_secs(30);

/// The wait for a VMM to set its machine up.
///
/// QEMU's NVMe driver waits for ever for a controller that does not answer. A controller answers
/// nowhere if it is started before it has its queue. Debian's QEMU 11.1.3 does so: the compiler
/// exchanged the two stores of `nvme_init` (block/nvme.c).
pub(crate) struct SlowStart<'a> {
    controllers: &'a [NvmeController],
    begin: Instant,
    is_noted: Cell<bool>,
}

impl<'a> SlowStart<'a> {
    pub(crate) fn new(controllers: &'a [NvmeController]) -> Self {
        Self {
            controllers,
            begin: Instant::now(),
            is_noted: Cell::new(controllers.is_empty()),
        }
    }

    /// Warns once that the wait is long.
    pub(crate) fn warn_if_late(&self) {
        if self.begin.elapsed() > LIMIT && !self.is_noted.replace(true) {
            tracing::warn!("{}", self.warning());
        }
    }

    fn warning(&self) -> String {
        let mut names = Vec::new();
        for controller in self.controllers {
            names.push(format!("{} ({})", controller.address, controller.owner));
        }
        format!(
            "the VMM has not set the machine up for {} s; its own NVMe driver may wait for an \
             answer of {}, as with QEMU 11.1.3 of Debian; a <hostdev> in the place of the disk \
             does not need that driver",
            LIMIT.as_secs(),
            names.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_names_the_controllers_that_may_not_answer() {
        let controllers = [NvmeController {
            address: "0000:01:00.0".parse().unwrap(),
            owner: "disk 'vda'".into(),
        }];
        let warning = SlowStart::new(&controllers).warning();
        assert!(
            warning.contains("an answer of 0000:01:00.0 (disk 'vda'),"),
            "{warning}"
        );
        assert!(SlowStart::new(&[]).is_noted.get());
    }
}
