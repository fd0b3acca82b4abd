//! The table in the crate's docs, of which test shows what, is true: each test is there, and no
//! call is left out.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use passthru_lab::{Table, text_of};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn table() -> Table {
    Table::of(&path("src/lib.rs")).unwrap()
}

#[test]
fn each_call_is_shown_to_succeed_and_to_fail() {
    assert_eq!(
        table().faults(&text_of(&path("tests/lab")).unwrap()),
        [""; 0]
    );
}

#[test]
fn no_call_of_the_kernel_is_left_out() {
    let called = text_of(&path("src/sys")).unwrap();
    let called: BTreeSet<_> = called
        .split("number(IOMMUFD_CMD_")
        .skip(1)
        .filter_map(|it| it.split(')').next())
        .collect();
    // Linux 7.3: from IOMMUFD_CMD_DESTROY (0x80) to IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA (0x95).
    assert_eq!(called.len(), 0x95 - 0x80 + 1, "{called:?}");
    let table = table();
    called
        .into_iter()
        .for_each(|name| assert!(table.has(&format!("`IOMMU_{name}`")), "{name}"));
}
