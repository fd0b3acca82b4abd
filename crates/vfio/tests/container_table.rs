//! The table in the docs of `container`, of which test shows what, is true: each test is there, and no call is left out.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text_of(files: &[&str]) -> String {
    files.iter().map(|file| fs::read_to_string(path(file)).unwrap()).collect()
}

/// The rows of the table: a call, and all else.
fn rows() -> Vec<(String, String)> {
    let docs = text_of(&["src/container/mod.rs"]);
    let lines = docs.lines().skip_while(|line| !line.starts_with("//! | call |")).skip(2);
    let rows = lines.map_while(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    rows.map(|(call, tests)| (call.to_owned(), tests.to_owned())).collect()
}

#[test]
fn each_test_in_the_table_exists() {
    let folders = ["conformance", "container"].map(|name| path("tests/lab").join(name));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
    let mut tests: String = files.map(|file| fs::read_to_string(file.path()).unwrap()).collect();
    tests.push_str(&text_of(&["src/container/type1/mod.rs"]));
    for (call, row) in rows() {
        let mut names = row.split('`').skip(1).step_by(2).peekable();
        assert!(names.peek().is_some(), "{call}");
        names.for_each(|name| assert!(tests.contains(&format!("fn {name}(")), "{call}: {name}"));
    }
}

#[test]
fn no_call_of_a_container_or_a_group_is_left_out() {
    let called = text_of(&["src/sys/type1.rs", "src/sys/group.rs"]);
    let called: Vec<_> =
        called.lines().filter_map(|line| line.strip_prefix("const ")?.split(':').next()).collect();
    assert_eq!(called.len(), 10, "{called:?}");
    let rows = rows();
    for name in called {
        let end = format!("_{name}`");
        assert!(rows.iter().any(|(call, _)| call.starts_with("`VFIO_") && call.ends_with(&end)), "{name}");
    }
}
