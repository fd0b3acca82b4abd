//! `cargo xtask style`: measures of all sources and pages.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::report::{Report, Rule};
use super::{prose, source};
use crate::cargo;

/// Folders of the project that hold sources.
const FOLDERS: &[&str] = &["bench", "crates", "fuzz", "lab", "xtask"];

/// Files and folders with prose; `CHANGELOG.md` included.
const PROSE: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs",
    "examples",
    "lab/README.md",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files or folders to measure instead of the whole project
    paths: Vec<PathBuf>,
    /// List each place that breaks a rule
    #[arg(long)]
    list: bool,
}

/// Prints the table, and with `--list` each place that breaks a rule.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let report = measure(&args.paths)?;
    let mut text = report.to_string();
    if args.list {
        text.insert_str(0, &report.places());
    }
    // A reader that ends early, such as `head`, is not an error.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(0)
}

/// Prints the table of the whole project, and each place that breaks a rule without exception.
///
/// # Errors
/// If a measure is above its aim.
pub(crate) fn check() -> Result<()> {
    let report = measure(&[])?;
    let text = report.forbidden_places() + &report.to_string();
    let _ = io::stdout().write_all(text.as_bytes());
    report.hold()
}

fn measure(paths: &[PathBuf]) -> Result<Report> {
    let root = cargo::root();
    let files = if paths.is_empty() {
        let all = FOLDERS.iter().chain(PROSE);
        files_of(&all.map(|path| root.join(path)).collect::<Vec<_>>())?
    } else {
        files_of(paths)?
    };
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let may_be_unsafe: Vec<&str> = prose::paths_in(&architecture, "Unsafe code").collect();
    let mut report = Report::default();
    for path in files {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        if path.extension().is_some_and(|extension| extension == "md") {
            prose::measure_page(&name, &text, &mut report);
        } else {
            if let Some(line) = source::measure(&name, &text, &mut report)?
                && !may_be_unsafe
                    .iter()
                    .any(|listed| Path::new(&name).starts_with(listed))
            {
                report.note(Rule::UnlistedUnsafe, &name, line, "");
            }
        }
    }

    if paths.is_empty() {
        report.compare_quotes();
    }
    Ok(report)
}

/// Lists the Rust sources and pages of these files and folders; build results are left out.
fn files_of(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut waiting = paths.to_vec();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name == "target") {
                continue;
            }
            for entry in fs::read_dir(&path).with_context(|| path.display().to_string())? {
                waiting.push(entry?.path());
            }
        } else if is_measured(&path) {
            files.push(path);
        }
    }

    files.sort();
    files.dedup();
    Ok(files)
}

fn is_measured(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "rs" || extension == "md")
}
