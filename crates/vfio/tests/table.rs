//! The table in the docs of `device`, of which test shows what, is true: each test is there, and no call is left out.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

fn text_of(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The rows of the table: a call, and all else.
fn rows() -> Vec<(String, String)> {
    let docs = text_of("src/device/mod.rs");
    let lines = docs.lines().skip_while(|line| !line.starts_with("//! | call |")).skip(2);
    let rows = lines.map_while(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    rows.map(|(call, tests)| (call.to_owned(), tests.to_owned())).collect()
}

#[test]
fn each_test_in_the_table_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/device");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tests: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    for (call, row) in rows() {
        let mut names = row.split('`').skip(1).step_by(2).peekable();
        assert!(names.peek().is_some(), "{call}");
        names.for_each(|name| assert!(tests.contains(&format!("fn {name}()")), "{call}: {name}"));
    }
}

#[test]
fn no_call_of_a_device_is_left_out() {
    let rows = rows();
    let is_there = |call: &str| rows.iter().any(|(row, _)| row.starts_with(&format!("`{call}`")));
    let text = text_of("src/sys/device.rs");
    let requests = text.lines().filter_map(|line| line.strip_prefix("const ")?.strip_suffix(");"));
    let requests: Vec<_> =
        requests.filter_map(|line| Some(line.split_once(": Opcode = number(")?.0)).collect();
    assert_eq!(requests.len(), 12, "{requests:?}");
    for request in requests {
        let names = ["DEVICE", "MIG"].map(|kind| format!("VFIO_{kind}_{request}"));
        assert!(names.iter().any(|name| is_there(name)), "{request}");
    }
    let text = text_of("src/device/feature.rs");
    let features: Vec<_> = text.split('"').filter(|it| it.starts_with("VFIO_DEVICE_FEATURE_")).collect();
    // Linux 7.2: from VFIO_DEVICE_FEATURE_PCI_VF_TOKEN (0) to VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 (12).
    assert_eq!(features.len(), 13, "{features:?}");
    features.into_iter().for_each(|feature| assert!(is_there(feature), "{feature}"));
}
