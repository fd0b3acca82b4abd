//! Total and current memory, and huge pages.

use crate::common::{accepted, guest, refused};
use crate::helpers::{ROOM, TWO, nodes};

#[test]
fn missing_memory_is_the_sum_of_cells_and_devices() {
    let dimm =
        "<memory model='dimm'><target><size unit='MiB'>512</size><node>1</node></target></memory>";
    let domain = accepted(&nodes(TWO, ROOM, dimm));
    assert_eq!(domain.memory.unwrap().kib(), 1_572_864);
    assert_eq!(domain.current_memory.unwrap().kib(), 1_572_864);
}

fn with_current_memory(kib: u64) -> String {
    guest("q35", "").replace("<os>", &format!("<currentMemory>{kib}</currentMemory><os>"))
}

#[test]
fn current_memory_is_at_most_the_total() {
    assert_eq!(
        accepted(&with_current_memory(2_097_152))
            .current_memory
            .unwrap()
            .kib(),
        1_048_576
    );
    assert_eq!(
        accepted(&with_current_memory(524_288))
            .current_memory
            .unwrap()
            .kib(),
        524_288
    );
}

fn hugepages(pages: &str, rest: &str) -> String {
    nodes(
        TWO,
        &format!("<memoryBacking><hugepages>{pages}</hugepages>{rest}</memoryBacking>"),
        "",
    )
}

fn page(size: &str, rest: &str) -> String {
    format!("<page size='{size}' unit='KiB' {rest}/>")
}

#[test]
fn impossible_huge_pages_are_refused() {
    accepted(&hugepages(
        &(page("2048", "") + &page("1048576", "nodeset='1'")),
        "",
    ));
    refused(
        &hugepages(&(page("2048", "") + &page("1048576", "")), ""),
        "both for all NUMA nodes",
        "<hugepages",
    );
    let both = page("2048", "nodeset='0-1'") + &page("1048576", "nodeset='1'");
    refused(
        &hugepages(&both, ""),
        "both for the same NUMA node",
        "<hugepages",
    );
    refused(
        &hugepages(&page("2048", "nodeset='2'"), ""),
        "the guest has 2, and no node 2",
        "<hugepages",
    );
    refused(
        &hugepages("", "<source type='anonymous'/>"),
        "cannot be used with <source",
        "<hugepages",
    );
    refused(
        &hugepages("", "<allocation mode='ondemand'/>"),
        "cannot be used with <allocation",
        "<hugepages",
    );
}
