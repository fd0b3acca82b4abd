//! The probe: questions to a QEMU by QMP.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::error::ProbeError;
use super::probed::{Probed, Version};
use crate::monitor::{self, BlockingQmp, Command as QmpCommand};
use crate::text::{MOST_SHOWN, printable};

/// Devices whose properties are probed: versions of QEMU differ in them, and [`check`] or the
/// command line depends on the difference.
///
/// [`check`]: crate::Capabilities::check
const PROBED_DEVICES: &[&str] = &[
    "vfio-pci",
    "arm-smmuv3",
    "intel-iommu",
    "virtio-iommu-pci",
    "pcie-root-port",
];
/// Time limit for reading the standard error of a killed QEMU.
const STDERR_LIMIT: Duration = Duration::from_secs(1);
/// Largest number of bytes that are kept of the standard error.
const MOST_STDERR: u64 = 4 << 10;

/// A function that starts the process of a probe.
///
/// A probe needs no privileges, and the path of the binary comes from the domain. So the function
/// of a privileged caller drops all privileges, and descriptors that are not close-on-exec. Other
/// callers can use `Command::spawn`.
pub type Spawn<'a> = &'a dyn Fn(&mut Command) -> io::Result<Child>;

/// Starts the binary without a machine and asks all questions within the limit.
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
    let (stderr, their_stderr) = UnixStream::pair().map_err(start)?;
    let process = Process::start(binary, spawn, theirs, their_stderr).map_err(start)?;
    let asked = BlockingQmp::connect(monitor, limit)
        .map_err(QuestionError::from)
        .and_then(|qmp| {
            let mut questions = Questions { qmp, deadline };
            questions.all(binary)
        });
    drop(process);
    asked.map_err(|error| error.into_probe_error(binary, &stderr))
}

/// A process that is killed on drop.
struct Process(Child);

impl Process {
    fn start(
        binary: &Path,
        spawn: Spawn<'_>,
        monitor: UnixStream,
        stderr: UnixStream,
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
            .stderr(OwnedFd::from(stderr));
        spawn(&mut command).map(Self)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A failed question.
enum QuestionError {
    Monitor(monitor::Error),
    /// A command and its unexpected answer.
    Answer(String, Value),
}

impl From<monitor::Error> for QuestionError {
    fn from(error: monitor::Error) -> Self {
        Self::Monitor(error)
    }
}

impl QuestionError {
    fn into_probe_error(self, binary: &Path, stderr: &UnixStream) -> ProbeError {
        match self {
            Self::Monitor(source) => ProbeError::Ask {
                binary: binary.into(),
                stderr: read_stderr(stderr),
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

/// Returns the start of the standard error, escaped.
fn read_stderr(stderr: &UnixStream) -> String {
    let mut bytes = Vec::new();
    if stderr.set_read_timeout(Some(STDERR_LIMIT)).is_ok() {
        // If reading fails, the bytes that came before are still worth showing.
        let _ = stderr.take(MOST_STDERR).read_to_end(&mut bytes);
    }

    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text
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
    fn all(&mut self, binary: &Path) -> Result<Probed, QuestionError> {
        let types = self.names(&QmpCommand::QomListTypes, &["name"])?;
        let asked = PROBED_DEVICES
            .iter()
            .filter(|device| types.contains(**device));
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

    /// Returns the texts of some members in an answer that is a list of objects.
    fn names(
        &mut self,
        command: &QmpCommand,
        keys: &[&str],
    ) -> Result<BTreeSet<String>, QuestionError> {
        let answer = self.ask(command)?;
        let Some(items) = answer.as_array() else {
            return Err(QuestionError::Answer(command.name().to_owned(), answer));
        };
        let names = items
            .iter()
            .flat_map(|item| keys.iter().filter_map(|key| item[key].as_str()));
        Ok(names.map(str::to_owned).collect())
    }

    fn target(&mut self) -> Result<String, QuestionError> {
        let answer = self.ask(&QmpCommand::QueryTarget)?;
        let target = answer["arch"]
            .as_str()
            .map(|arch| printable(arch, MOST_SHOWN));
        target.ok_or(QuestionError::Answer(
            QmpCommand::QueryTarget.name().to_owned(),
            answer,
        ))
    }

    fn version(&mut self) -> Result<Version, QuestionError> {
        let answer = self.ask(&QmpCommand::QueryVersion)?;
        serde_json::from_value(answer["qemu"].clone())
            .map_err(|_| QuestionError::Answer(QmpCommand::QueryVersion.name().to_owned(), answer))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// Starts a script that was just written. A child that another test starts has the script open
    /// for writing for a moment, and the kernel does not execute such a file (ETXTBSY).
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

    /// Writes a script that stands for an emulator.
    fn script(dir: &tempfile::TempDir, text: &str) -> PathBuf {
        let path = dir.path().join("emulator");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn stderr_of_a_failed_emulator_is_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let binary = script(&dir, "echo 'library not found' >&2; exit 1");
        let error = probe(&binary, &patiently, Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("library not found"), "{error}");
    }

    #[test]
    fn hanging_emulator_is_killed_at_the_limit() {
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
    fn missing_emulator_has_a_hint_to_install() {
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
    fn spawn_function_starts_the_emulator() {
        let dir = tempfile::tempdir().unwrap();
        let binary = script(&dir, "echo \"as $WHO\" >&2; exit 1");
        let spawn = |command: &mut Command| command.env("WHO", "nobody").spawn();
        let error = probe(&binary, &spawn, Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("as nobody"), "{error}");
    }

    #[test]
    fn answers_become_capabilities() {
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
