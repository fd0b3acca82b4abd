//! Checks of the tables of tests in docs: every test that they name exists, and every call of the
//! kernel has a row.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::{fs, io};

use passthru_lab::{Table, read_folder};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Returns the table in the module docs of a folder of `tests/lab`.
fn table(folder: &str) -> Table {
    Table::read(&path("tests/lab").join(folder).join("mod.rs")).unwrap()
}

fn source(file: &str) -> String {
    fs::read_to_string(path("src").join(file)).unwrap()
}

#[test]
fn device_table_names_existing_tests() {
    let tests = read_folder(&path("tests/lab/device")).unwrap();
    assert_eq!(table("device").faults(&tests), [""; 0]);
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
        .map(|folder| read_folder(&path(folder)).unwrap())
        .collect();
    assert_eq!(table("container").faults(&tests), [""; 0]);
}

#[test]
fn device_table_lists_every_call() {
    let table = table("device");
    let text = source("sys/device.rs");
    let constants = text
        .lines()
        .filter_map(|line| line.strip_prefix("const ")?.strip_suffix(");"));
    let requests: Vec<_> = constants
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
        .filter(|literal| literal.starts_with("VFIO_DEVICE_FEATURE_"))
        .collect();
    // Linux 7.3: from VFIO_DEVICE_FEATURE_PCI_VF_TOKEN (0) to VFIO_DEVICE_FEATURE_ZPCI_ERROR (13).
    assert_eq!(features.len(), 14, "{features:?}");
    for feature in features {
        assert!(table.has(&format!("`{feature}`")), "{feature}");
    }
}

#[test]
fn container_table_lists_every_call() {
    let text = source("sys/type1.rs") + &source("sys/group.rs");
    let requests: Vec<_> = text
        .lines()
        .filter(|line| line.contains(": Opcode = number("))
        .filter_map(|line| line.strip_prefix("const ")?.split(':').next())
        .collect();
    assert_eq!(requests.len(), 10, "{requests:?}");

    let table = table("container");
    for request in requests {
        let end = format!("_{request}`");
        let is_listed = table
            .calls()
            .any(|call| call.starts_with("`VFIO_") && call.ends_with(&end));
        assert!(is_listed, "{request}");
    }
}

/// Returns the text of all source files below a folder.
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

/// Returns the rows of the tables in a text, without those that begin with `head`.
fn rows<'a>(text: &'a str, head: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .filter(|row| !row.starts_with(head))
        .collect()
}

/// Checks that a column names existing tests between backticks, or has the words "no test".
#[track_caller]
fn assert_shown(column: &str, row: &str, tests: &str) {
    let names: Vec<_> = column.split('`').skip(1).step_by(2).collect();
    for name in &names {
        let is_test = tests.contains(&format!("fn {name}("));
        assert!(is_test, "{row}: there is no test {name}");
    }

    let is_shown = !names.is_empty() || column.contains("no test");
    assert!(is_shown, "{row}: no test is named");
}

#[test]
fn backends_table_names_existing_tests_or_none() {
    let docs = fs::read_to_string(path("../../docs/backends.md")).unwrap();
    let tests = all_tests();
    let rows = rows(&docs, "feature |");
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

    let rows = rows(tables, "attempt |");
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let [attempt, _, shown] = row.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not three columns: {row}")
        };
        assert_shown(shown, attempt, &tests);
    }

    // In running text, names of tests stand in brackets.
    let brackets = tables
        .split('(')
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    for (bracket, _) in brackets {
        let quoted = bracket.split('`').skip(1).step_by(2);
        for name in quoted.filter(|name| is_function_name(name)) {
            let is_test = tests.contains(&format!("fn {name}("));
            assert!(is_test || name == "pidfd_getfd", "there is no test {name}");
        }
    }
}

fn is_function_name(text: &str) -> bool {
    text.contains('_') && !text.contains(|c: char| c.is_ascii_uppercase())
}
