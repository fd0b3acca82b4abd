//! The tables in the docs of `device` and `container`, of which test shows what, are true: each
//! test is there, and no call is left out.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use passthru_lab::{Table, text_of};
use std::path::{Path, PathBuf};
use std::{fs, io};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn table(of: &str) -> Table {
    Table::of(&path("src").join(of).join("mod.rs")).unwrap()
}

fn source(file: &str) -> String {
    fs::read_to_string(path("src").join(file)).unwrap()
}

#[test]
fn device_table_names_existing_tests() {
    assert_eq!(
        table("device").faults(&text_of(&path("tests/lab/device")).unwrap()),
        [""; 0]
    );
}

#[test]
fn container_table_names_existing_tests() {
    let folders = [
        "tests/lab/conformance",
        "tests/lab/container",
        "src/container/type1",
    ];
    let tests: String = folders
        .iter()
        .map(|folder| text_of(&path(folder)).unwrap())
        .collect();
    assert_eq!(table("container").faults(&tests), [""; 0]);
}

#[test]
fn device_table_lists_every_call() {
    let table = table("device");
    let text = source("sys/device.rs");
    let requests = text
        .lines()
        .filter_map(|line| line.strip_prefix("const ")?.strip_suffix(");"));
    let requests: Vec<_> = requests
        .filter_map(|line| Some(line.split_once(": Opcode = number(")?.0))
        .collect();
    assert_eq!(requests.len(), 12, "{requests:?}");
    for request in requests {
        let names = ["DEVICE", "MIG"].map(|kind| format!("`VFIO_{kind}_{request}`"));
        assert!(names.iter().any(|name| table.has(name)), "{request}");
    }
    let text = source("device/feature.rs");
    let features: Vec<_> = text
        .split('"')
        .filter(|it| it.starts_with("VFIO_DEVICE_FEATURE_"))
        .collect();
    // Linux 7.3: from VFIO_DEVICE_FEATURE_PCI_VF_TOKEN (0) to VFIO_DEVICE_FEATURE_ZPCI_ERROR (13).
    assert_eq!(features.len(), 14, "{features:?}");
    features
        .into_iter()
        .for_each(|feature| assert!(table.has(&format!("`{feature}`")), "{feature}"));
}

#[test]
fn container_table_lists_every_call() {
    let called = source("sys/type1.rs") + &source("sys/group.rs");
    let requests = called
        .lines()
        .filter(|line| line.contains(": Opcode = number("));
    let called: Vec<_> = requests
        .filter_map(|line| line.strip_prefix("const ")?.split(':').next())
        .collect();
    assert_eq!(called.len(), 10, "{called:?}");
    let table = table("container");
    for name in called {
        let end = format!("_{name}`");
        assert!(
            table
                .calls()
                .any(|call| call.starts_with("`VFIO_") && call.ends_with(&end)),
            "{name}"
        );
    }
}

/// Returns the text of all files of a folder and of the folders in it.
fn text_below(folder: &Path) -> io::Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            text += &text_below(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path)?;
        }
    }
    Ok(text)
}

/// Returns the text of all tests of the workspace.
fn all_tests() -> String {
    ["..", "../../lab/tests"]
        .map(|folder| text_below(&path(folder)).unwrap())
        .concat()
}

/// Checks that the names of tests between backticks are those of tests, or that there is no test.
#[track_caller]
fn assert_shown(shown: &str, what: &str, tests: &str) {
    let names: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
    for name in &names {
        assert!(
            tests.contains(&format!("fn {name}(")),
            "{what}: there is no test {name}"
        );
    }
    assert!(
        !names.is_empty() || shown.contains("no test"),
        "{what}: nothing shows it"
    );
}

#[test]
fn backends_table_names_existing_tests_or_none() {
    let docs = fs::read_to_string(path("../../docs/backends.md")).unwrap();
    let tests = all_tests();
    let rows = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows: Vec<_> = rows.filter(|row| !row.starts_with("feature |")).collect();
    assert!(rows.len() > 30, "{}", rows.len());
    for row in rows {
        let [feature, _, _, shown] = row.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not four columns: {row}")
        };
        assert_shown(shown, feature, &tests);
    }
}

#[test]
fn security_tables_name_existing_tests_or_none() {
    let docs = fs::read_to_string(path("../../docs/security.md")).unwrap();
    let tests = all_tests();
    let (first, tables) = docs.split_once("\n## ").unwrap();
    assert!(first.contains("| who | trusted | in short |"));
    let rows = tables
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows: Vec<_> = rows.filter(|row| !row.starts_with("attempt |")).collect();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let [attempt, _, shown] = row.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not three columns: {row}")
        };
        assert_shown(shown, attempt, &tests);
    }
    // In the text, names of tests stand in brackets.
    for bracket in tables
        .split('(')
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
    {
        let names = bracket.0.split('`').skip(1).step_by(2);
        for name in names
            .filter(|name| name.contains('_') && !name.contains(|c: char| c.is_ascii_uppercase()))
        {
            let is_test = tests.contains(&format!("fn {name}("));
            assert!(is_test || name == "pidfd_getfd", "there is no test {name}");
        }
    }
}
