//! `passthru --version`, and the build script that makes the version.

#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "its main function is for cargo")]
#[path = "../build.rs"]
mod build;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

#[track_caller]
fn git(folder: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(["-c", "user.name=a", "-c", "user.email=a@localhost"])
        .args(args);
    command.env("GIT_COMMITTER_DATE", "2026-11-29T12:00:00Z");
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Makes a repository with one commit, which holds a Cargo.toml.
fn repository() -> (TempDir, PathBuf) {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("main");
    fs::create_dir(&folder).unwrap();
    git(&folder, &["init", "-q", "-b", "main"]);
    fs::write(folder.join("Cargo.toml"), "").unwrap();
    git(&folder, &["add", "Cargo.toml"]);
    commit(&folder);
    (parent, folder)
}

fn commit(folder: &Path) {
    git(folder, &["commit", "-q", "--allow-empty", "-m", "a commit"]);
}

/// Returns the contents of all watched files, by path.
fn contents(folder: &Path) -> Vec<(PathBuf, String)> {
    let files = build::watched(folder).into_iter().flat_map(|path| {
        if path.is_dir() {
            fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect()
        } else {
            vec![path]
        }
    });
    files
        .map(|file| (file.clone(), fs::read_to_string(file).unwrap_or_default()))
        .collect()
}

/// Asserts that the version names the commit, and that a new commit changes a watched file.
#[track_caller]
fn assert_follows_commits(folder: &Path) {
    let version = build::version(folder, "0.1.0");
    let inner = version
        .strip_prefix("0.1.0 (")
        .and_then(|rest| rest.strip_suffix(" 2026-11-29)"));
    assert!(
        inner.is_some_and(|hash| hash.bytes().all(|b| b.is_ascii_hexdigit())),
        "{version}"
    );
    let before = contents(folder);
    assert!(before.iter().all(|(path, _)| path.exists()), "{before:?}");
    fs::write(folder.join("file"), "").unwrap();
    assert_eq!(
        contents(folder),
        before,
        "a changed tree makes cargo build again"
    );
    commit(folder);
    assert_ne!(contents(folder), before);
    assert_ne!(build::version(folder, "0.1.0"), version);
}

#[test]
fn version_of_a_branch_follows_its_commits() {
    let (_parent, folder) = repository();
    assert_follows_commits(&folder);
}

#[test]
fn version_of_a_packed_branch_follows_its_commits() {
    let (_parent, folder) = repository();
    git(&folder, &["pack-refs", "--all"]);
    assert!(!folder.join(".git/refs/heads/main").exists());
    assert_follows_commits(&folder);
}

#[test]
fn version_of_a_detached_head_follows_its_commits() {
    let (_parent, folder) = repository();
    git(&folder, &["checkout", "-q", "--detach"]);
    assert_follows_commits(&folder);
}

#[test]
fn version_of_a_worktree_follows_its_commits() {
    let (parent, folder) = repository();
    let worktree = parent.path().join("other");
    git(
        &folder,
        &["worktree", "add", "-q", worktree.to_str().unwrap()],
    );
    assert_follows_commits(&worktree);
}

#[test]
fn version_outside_of_a_checkout_is_the_number() {
    let folder = TempDir::new().unwrap();
    assert_eq!(build::version(folder.path(), "0.1.0"), "0.1.0");
    assert_eq!(build::watched(folder.path()), [] as [PathBuf; 0]);
}

#[test]
fn version_of_an_untracked_folder_is_the_number() {
    let (_parent, folder) = repository();
    let archive = folder.join("archive");
    fs::create_dir(&archive).unwrap();
    fs::write(archive.join("Cargo.toml"), "").unwrap();
    assert_eq!(build::version(&archive, "0.1.0"), "0.1.0");
}

#[test]
fn version_is_printed_with_the_commit() {
    let output = Command::new(env!("CARGO_BIN_EXE_passthru"))
        .arg("--version")
        .output()
        .unwrap();
    let version = build::version(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("passthru {version}\n")
    );
}
