//! Whole guests: parsed, formatted, completed and validated.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::path::{Path, PathBuf};

use passthru_domain::Domain;

use common::Emulator;

fn examples() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<_> = data
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    files
}

fn read(file: &Path) -> Domain {
    Domain::parse(&std::fs::read_to_string(file).unwrap())
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

#[test]
fn formatted_domain_parses_to_the_same_domain() {
    for file in examples() {
        let domain = read(&file);
        let written = domain.format();
        let again = Domain::parse(&written)
            .unwrap_or_else(|e| panic!("{}: {e}\n{written}", file.display()));
        assert_eq!(again, domain, "{}", file.display());
        assert_eq!(again.format(), written, "{}", file.display());
    }
}

#[test]
fn completed_example_is_valid_and_completes_to_itself() {
    for file in examples() {
        let domain = read(&file)
            .complete(&Emulator)
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        domain
            .validate(&Emulator)
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let written = domain.format();
        let again = Domain::parse(&written)
            .unwrap()
            .complete(&Emulator)
            .unwrap();
        assert_eq!(again, domain, "{}", file.display());
        assert_eq!(again.format(), written, "{}", file.display());
    }
}

#[test]
fn completed_examples_match_their_snapshots() {
    for file in examples() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        insta::assert_snapshot!(name, read(&file).complete(&Emulator).unwrap().format());
    }
}
