//! [`Job`]: a script to run on the virtual host.

use std::env;
use std::fs;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result};
use passthru_lab::devices;
use rustix::termios::tcgetwinsize;

use super::args::MachineArgs;
use super::initrd;
use super::runs::Run;
use super::setup::Lab;
use super::shell::quote;
use super::streams::{self, Event, Record, Recorded};
use crate::cargo;

/// Names of the virtio-serial ports, in the order of [`Job::open_channels`].
pub(super) const PORTS: [&str; 4] = ["stdin", "stdout", "stderr", "status"];

/// A script to run on the virtual host.
pub(super) struct Job {
    /// Shell script.
    pub(super) script: String,
    pub(super) input: Input,
    /// Target directory of the build, as the job sees it.
    pub(super) target: PathBuf,
    /// Time limit, which includes the boot.
    pub(super) limit: Option<Duration>,
    /// Record of standard output, which is shown as well.
    pub(super) record: Option<Record>,
    /// Longest time without recorded output; after that, the job is stuck.
    pub(super) silence: Option<Duration>,
}

/// Source of the job's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    None,
    /// Standard input of this program, unless that is a terminal.
    Forwarded,
    /// Terminal of this program, for output too.
    Terminal,
}

impl Job {
    /// Returns whether the job's output has paused for longer than [`Job::silence`].
    pub(super) fn is_silent(&self) -> bool {
        match (&self.record, self.silence) {
            (Some(record), Some(most)) => record.quiet_for() > most,
            _ => false,
        }
    }

    /// Writes the files that the virtual host's init reads.
    pub(super) fn write(
        &self,
        run: &Run,
        lab: &Lab,
        args: &MachineArgs,
        end_mark: &str,
    ) -> Result<()> {
        let folder = run.job();
        let interactive = if self.input == Input::Terminal {
            "yes"
        } else {
            "no"
        };
        let (rows, columns) =
            tcgetwinsize(stdout()).map_or((0, 0), |size| (size.ws_row, size.ws_col));
        let settings = [
            ("SOURCE", quote_path(cargo::root())),
            ("TARGET", quote_path(&self.target)),
            ("PROFILE", args.profile().into()),
            ("UPLINK", devices::UPLINK.into()),
            ("DATA_NVME", devices::DATA_NVME.into()),
            ("DATA_MOUNT", devices::DATA_MOUNT.into()),
            ("END_MARK", quote(end_mark)),
            ("INTERACTIVE", interactive.into()),
            ("ROWS", rows.to_string()),
            ("COLUMNS", columns.to_string()),
        ];
        let lines = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        fs::write(folder.join("settings"), lines.collect::<String>())?;
        fs::write(folder.join("command"), environment() + &self.script)?;
        let guest = folder.join("guest");
        fs::copy(&lab.kernel, guest.join("vmlinuz"))
            .with_context(|| format!("{}", lab.kernel.display()))?;
        initrd::write(&lab.rootfs, "guest-init", &guest.join("initrd.gz"))?;
        initrd::write(&lab.rootfs, "init", &run.initrd())
    }

    /// Opens the host ends of the job's channels, in the order of [`PORTS`].
    pub(super) fn open_channels(
        &self,
        end_mark: &str,
        events: &Sender<Event>,
    ) -> Result<[OwnedFd; 4]> {
        let forward = self.input == Input::Forwarded && !stdin().is_terminal();
        Ok([
            streams::input(forward)?,
            streams::output(
                Recorded::new(stdout(), self.record.clone()),
                end_mark,
                events.clone(),
            )?,
            streams::output(stderr(), end_mark, events.clone())?,
            streams::status(events.clone())?,
        ])
    }
}

/// Exports variables of this program to the job.
fn environment() -> String {
    let passed = ["RUST_BACKTRACE", "RUST_LOG", "NO_COLOR", "TERM"];
    let set = passed
        .iter()
        .filter_map(|name| Some((name, env::var(name).ok()?)));
    set.map(|(name, value)| format!("export {name}={}\n", quote(&value)))
        .collect()
}

fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}
