//! Cargo of this workspace: its packages and its builds.

use std::borrow::Cow;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Feature by which a package declares tests for the virtual host.
pub(crate) const LAB_FEATURE: &str = "virtual-host";

/// Returns a call of the cargo that runs this program, in the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Returns the root of the working tree.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Runs a command with its output shown. Fails if the command fails.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{}: {status}", describe(command));
    Ok(())
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The workspace, as `cargo metadata` describes it.
pub(crate) struct Workspace {
    /// Target directory.
    pub(crate) target: PathBuf,
    /// Test targets for the virtual host.
    pub(crate) lab_tests: Vec<LabTest>,
}

/// A test target that needs the virtual host.
pub(crate) struct LabTest {
    pub(crate) package: String,
    pub(crate) target: String,
}

impl Workspace {
    pub(crate) fn read() -> Result<Self> {
        let output = cargo(&["metadata", "--format-version=1", "--no-deps"])
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "cargo metadata: {}", output.status);
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let target = metadata["target_directory"]
            .as_str()
            .context("cargo metadata has no target_directory")?;
        let packages = array(&metadata["packages"]);
        Ok(Self {
            target: target.into(),
            lab_tests: packages.flat_map(lab_tests).collect(),
        })
    }
}

fn lab_tests(package: &Value) -> Vec<LabTest> {
    let mut tests = Vec::new();
    for target in array(&package["targets"]) {
        if array(&target["required-features"]).any(|feature| feature == LAB_FEATURE) {
            tests.push(LabTest {
                package: name(package),
                target: name(target),
            });
        }
    }

    tests
}

fn name(value: &Value) -> String {
    value["name"].as_str().unwrap_or_default().to_owned()
}

/// An executable of a build, and the folder of its package.
pub(crate) struct Executable {
    pub(crate) path: PathBuf,
    pub(crate) package: PathBuf,
}

impl Executable {
    /// Returns the name of the package's folder.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        let folder = self.package.file_name().unwrap_or_default();
        folder.to_string_lossy()
    }
}

/// Builds with these arguments, and returns the executables of test targets.
pub(crate) fn build_tests(arguments: &[String]) -> Result<Vec<Executable>> {
    let mut command = cargo(&[
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    let output = command.args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages
        .filter_map(|message| executable(&message))
        .collect())
}

fn executable(message: &Value) -> Option<Executable> {
    let is_test = message["profile"]["test"] == true;
    let path = message["executable"].as_str().filter(|_| is_test)?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    Some(Executable {
        path: path.into(),
        package: manifest.parent()?.into(),
    })
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_targets_that_need_the_feature_are_lab_tests() {
        let package = serde_json::json!({"name": "p", "targets": [
            {"name": "plain"},
            {"name": "kernel", "required-features": ["virtual-host"]},
            {"name": "other", "required-features": ["slow"]},
        ]});
        let found = lab_tests(&package);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].package, "p");
        assert_eq!(found[0].target, "kernel");
    }
}
