//! The table in the crate's docs, of which test shows what, is true: each test is there, and no call is left out.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The text of all files of a folder of this package.
fn text_of(folder: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The rows of the table: a call, and all else.
fn rows() -> Vec<(String, String)> {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let lines = docs.lines().skip_while(|line| !line.starts_with("//! | call |")).skip(2);
    let rows = lines.map_while(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    rows.map(|(call, tests)| (call.to_owned(), tests.to_owned())).collect()
}

#[test]
fn each_test_in_the_table_exists() {
    let tests = text_of("tests/lab");
    for (call, row) in rows() {
        let mut names = row.split('`').skip(1).step_by(2).peekable();
        assert!(names.peek().is_some(), "{call}");
        names.for_each(|name| assert!(tests.contains(&format!("fn {name}()")), "{call}: {name}"));
    }
}

#[test]
fn no_call_of_the_kernel_is_left_out() {
    let called = text_of("src/sys");
    let called: BTreeSet<_> =
        called.split("number(IOMMUFD_CMD_").skip(1).filter_map(|it| it.split(')').next()).collect();
    // Linux 7.2: from IOMMUFD_CMD_DESTROY (0x80) to IOMMUFD_CMD_HW_QUEUE_ALLOC (0x94).
    assert_eq!(called.len(), 0x94 - 0x80 + 1, "{called:?}");
    let rows = rows();
    for name in called {
        let call = format!("`IOMMU_{name}`");
        assert!(rows.iter().any(|(row, _)| row.starts_with(&call)), "{call}");
    }
}
