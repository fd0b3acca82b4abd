//! Asks a QEMU what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use thiserror::Error;

use super::probed::{Probed, Version};
use crate::monitor::{self, BlockingQmp, Command as QmpCommand};
use crate::text::{MOST_SHOWN, printable};

/// Devices whose properties differ among versions in a way that matters here.
const ASKED: &[&str] = &[
    "vfio-pci",
    "arm-smmuv3",
    "intel-iommu",
    "virtio-iommu-pci",
    "pcie-root-port",
];
/// How long the last words of a killed QEMU are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How much of its standard error is kept.
const MOST_WORDS: u64 = 4 << 10;

/// Why a QEMU did not say what it has.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// It cannot be started.
    #[error("cannot start {binary}", binary = binary.display())]
    Start {
        /// Its path.
        binary: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// It does not answer.
    #[error("cannot query the capabilities of {binary}{said}", binary = binary.display(), said = said(stderr))]
    Ask {
        /// Its path.
        binary: PathBuf,
        /// What it wrote to its standard error.
        stderr: String,
        /// What went wrong.
        source: monitor::Error,
    },
    /// It answers what a QEMU does not.
    #[error("{binary} sent an unexpected reply to {command}: {answer}", binary = binary.display())]
    Answer {
        /// Its path.
        binary: PathBuf,
        /// What was asked.
        command: &'static str,
        /// Its answer, shortened.
        answer: String,
    },
    /// It is for an architecture that is not known here.
    #[error("{binary} is for {target}, which is not supported", binary = binary.display())]
    Target {
        /// Its path.
        binary: PathBuf,
        /// The architecture.
        target: String,
    },
}

impl ProbeError {
    /// Returns what the user can do.
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

/// Returns Debian's package of an emulator with a known name, in brackets.
fn debian_package(binary: &Path) -> &'static str {
    match binary.file_name().and_then(|name| name.to_str()) {
        Some("qemu-system-x86_64" | "qemu-system-i386") => " (Debian: qemu-system-x86)",
        Some("qemu-system-aarch64" | "qemu-system-arm") => " (Debian: qemu-system-arm)",
        Some("qemu-system-s390x") => " (Debian: qemu-system-misc or qemu-system-s390x)",
        _ => "",
    }
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!("; it wrote: {stderr}")
    }
}

/// Starts a process. Nothing that a QEMU is asked needs privileges, and its path comes from the
/// domain: so whoever has privileges, or descriptors open that are not close-on-exec, drops both
/// here. `Command::spawn` is right for all others.
pub type Spawn<'a> = &'a dyn Fn(&mut Command) -> io::Result<Child>;

/// Starts the binary without a machine and asks it, all within the limit.
pub(super) fn probe(
    binary: &Path,
    spawn: Spawn<'_>,
    limit: Duration,
) -> Result<Probed, ProbeError> {
    let deadline = Instant::now() + limit;
    let start = |source| ProbeError::Start {
        binary: binary.into(),
        source,
    };
    let (monitor, theirs) = UnixStream::pair().map_err(start)?;
    let (words, their_words) = UnixStream::pair().map_err(start)?;
    let process = Process::start(binary, spawn, theirs, their_words).map_err(start)?;
    let asked = BlockingQmp::connect(monitor, limit)
        .map_err(Trouble::from)
        .and_then(|qmp| {
            let mut questions = Questions { qmp, deadline };
            questions.all(binary)
        });
    drop(process);
    asked.map_err(|trouble| trouble.into_error(binary, &words))
}

/// A process that ends with its owner.
struct Process(Child);

impl Process {
    fn start(
        binary: &Path,
        spawn: Spawn<'_>,
        monitor: UnixStream,
        words: UnixStream,
    ) -> io::Result<Self> {
        let mut command = Command::new(binary);
        command
            .args([
                "-M",
                "none",
                "-nodefaults",
                "-display",
                "none",
                "-S",
                "-qmp",
                "stdio",
            ])
            .env_clear()
            .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C")])
            .current_dir("/")
            .stdin(OwnedFd::from(monitor.try_clone()?))
            .stdout(OwnedFd::from(monitor))
            .stderr(OwnedFd::from(words));
        spawn(&mut command).map(Self)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only where the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

enum Trouble {
    Monitor(monitor::Error),
    Answer(&'static str, Value),
}

impl From<monitor::Error> for Trouble {
    fn from(error: monitor::Error) -> Self {
        Self::Monitor(error)
    }
}

impl Trouble {
    fn into_error(self, binary: &Path, words: &UnixStream) -> ProbeError {
        match self {
            Self::Monitor(source) => ProbeError::Ask {
                binary: binary.into(),
                stderr: last_words(words),
                source,
            },
            Self::Answer(command, answer) => {
                let answer = printable(&answer.to_string(), MOST_SHOWN);
                ProbeError::Answer {
                    binary: binary.into(),
                    command,
                    answer,
                }
            }
        }
    }
}

/// What came on standard error, the end of it dropped where it is long.
fn last_words(words: &UnixStream) -> String {
    let mut bytes = Vec::new();
    if words.set_read_timeout(Some(LAST_WORDS)).is_ok() {
        // Where reading fails, what came before is still worth showing.
        let _ = words.take(MOST_WORDS).read_to_end(&mut bytes);
    }
    let words = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = words
        .trim()
        .lines()
        .map(|line| printable(line, MOST_SHOWN))
        .collect();
    lines.join("\n")
}

struct Questions {
    qmp: BlockingQmp,
    deadline: Instant,
}

impl Questions {
    fn all(&mut self, binary: &Path) -> Result<Probed, Trouble> {
        let types = self.names(&QmpCommand::QomListTypes, &["name"])?;
        let asked = ASKED.iter().filter(|device| types.contains(**device));
        let mut properties = BTreeMap::new();
        for device in asked {
            let command = QmpCommand::DeviceListProperties {
                typename: (*device).to_owned(),
            };
            let names = self.names(&command, &["name"])?;
            properties.insert((*device).to_owned(), names);
        }
        Ok(Probed {
            binary: binary.into(),
            target: self.target()?,
            version: self.version()?,
            machines: self.names(&QmpCommand::QueryMachines, &["name", "alias"])?,
            types,
            properties,
        })
    }

    fn ask(&mut self, command: &QmpCommand) -> Result<Value, monitor::Error> {
        self.qmp
            .set_limit(self.deadline.saturating_duration_since(Instant::now()));
        self.qmp.execute(command)
    }

    /// The members of those keys in an answer that is a list of objects.
    fn names(&mut self, command: &QmpCommand, keys: &[&str]) -> Result<BTreeSet<String>, Trouble> {
        let answer = self.ask(command)?;
        let Some(items) = answer.as_array() else {
            return Err(Trouble::Answer(command.name(), answer));
        };
        let names = items
            .iter()
            .flat_map(|item| keys.iter().filter_map(|key| item[key].as_str()));
        Ok(names.map(str::to_owned).collect())
    }

    fn target(&mut self) -> Result<String, Trouble> {
        let answer = self.ask(&QmpCommand::QueryTarget)?;
        let target = answer["arch"]
            .as_str()
            .map(|arch| printable(arch, MOST_SHOWN));
        target.ok_or(Trouble::Answer(QmpCommand::QueryTarget.name(), answer))
    }

    fn version(&mut self) -> Result<Version, Trouble> {
        let answer = self.ask(&QmpCommand::QueryVersion)?;
        serde_json::from_value(answer["qemu"].clone())
            .map_err(|_| Trouble::Answer(QmpCommand::QueryVersion.name(), answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// Starts a script that was just written. While a test beside this one starts a child, that has
    /// the script open for writing for a moment, and what is open for writing cannot be executed.
    fn patiently(command: &mut Command) -> io::Result<Child> {
        loop {
            match command.spawn() {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                result => return result,
            }
        }
    }

    /// An emulator that is a script.
    fn script(dir: &tempfile::TempDir, text: &str) -> PathBuf {
        let path = dir.path().join("emulator");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn an_emulator_that_fails_at_start_has_its_words_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let binary = script(&dir, "echo 'library not found' >&2; exit 1");
        let error = probe(&binary, &patiently, Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("library not found"), "{error}");
    }

    #[test]
    fn an_emulator_that_hangs_is_given_up_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let binary = script(&dir, "exec sleep 60");
        let start = Instant::now();
        let error = probe(&binary, &patiently, Duration::from_millis(200)).unwrap_err();
        assert!(
            matches!(
                error,
                ProbeError::Ask {
                    source: monitor::Error::Timeout { .. },
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn an_emulator_that_is_not_there_is_to_be_installed() {
        let error = probe(
            Path::new("/nonexistent/qemu"),
            &patiently,
            Duration::from_secs(1),
        )
        .unwrap_err();
        assert!(
            error.hint().is_some_and(|hint| hint.contains("install")),
            "{error:?}"
        );
    }

    #[test]
    fn an_emulator_is_started_as_the_caller_says() {
        let dir = tempfile::tempdir().unwrap();
        let binary = script(&dir, "echo \"as $WHO\" >&2; exit 1");
        let spawn = |command: &mut Command| command.env("WHO", "nobody").spawn();
        let error = probe(&binary, &spawn, Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("as nobody"), "{error}");
    }

    #[test]
    fn the_answers_become_capabilities() {
        let dir = tempfile::tempdir().unwrap();
        let answers = [
            r#"{"id":1,"return":{}}"#,
            r#"{"id":2,"return":[{"name":"vfio-pci"},{"name":"iommufd"}]}"#,
            r#"{"id":3,"return":[{"name":"fd","type":"str"}]}"#,
            r#"{"id":4,"return":{"arch":"x86_64"}}"#,
            r#"{"id":5,"return":{"qemu":{"major":11,"minor":1,"micro":3},"package":""}}"#,
            r#"{"id":6,"return":[{"name":"pc-q35-11.1","alias":"q35"}]}"#,
        ];
        let answers = answers
            .map(|answer| format!("read line; echo '{answer}'\n"))
            .concat();
        let binary = script(&dir, &format!("echo '{{\"QMP\":{{}}}}'\n{answers}sleep 60"));
        let probed = probe(&binary, &patiently, Duration::from_secs(5)).unwrap();
        assert_eq!(probed.version.to_string(), "11.1.3");
        assert!(probed.machines.contains("q35") && probed.machines.contains("pc-q35-11.1"));
        let capabilities = super::super::Capabilities::from_probed(probed).unwrap();
        assert!(capabilities.has_iommufd());
        assert!(!capabilities.has_property("vfio-pci", "x-unheard-of"));
    }
}
