//! Builds of the measured programs, with the profile of the binaries that users install.

use std::path::PathBuf;

use anyhow::Result;

use crate::cargo::{Workspace, cargo, succeed};

/// Profile of the binaries that users install.
pub(super) const PROFILE: &str = "dist";

/// Builds a package, and returns the folder of its binaries.
pub(super) fn build(package: &str) -> Result<PathBuf> {
    let arguments = ["build", "--profile", PROFILE, "--package", package];
    succeed(&mut cargo(&arguments))?;
    Ok(Workspace::read()?.target.join(PROFILE))
}

/// Returns the folder for the files of benches. Makes the folder if it is missing.
pub(super) fn bench_folder() -> Result<PathBuf> {
    let folder = Workspace::read()?.target.join("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
