//! NUMA cells, and the placement of memory.

use crate::common::{accepted, guest, refused};
use crate::helpers::{TWO, nodes};

fn cell_ids(cells: &str) -> Vec<(u32, u64)> {
    let numa = accepted(&nodes(cells, "", "")).cpu.unwrap().numa.unwrap();
    numa.cells
        .iter()
        .map(|cell| (cell.id.unwrap(), cell.memory))
        .collect::<Vec<_>>()
}

#[test]
fn numa_cells_are_numbered_in_order_and_sorted() {
    let cells = "<cell id='1' cpus='2-3' memory='1024'/><cell id='0' cpus='0-1' memory='2048'/>";
    assert_eq!(cell_ids(cells), [(0, 2 << 20), (1, 1 << 20)]);
    assert_eq!(
        cell_ids("<cell memory='1024'/><cell memory='2048'/>"),
        [(0, 1 << 20), (1, 2 << 20)]
    );
}

fn sibling(text: &str) -> String {
    second_cell(&format!(
        "<cell id='1' memory='1024'><distances><sibling {text}/></distances></cell>"
    ))
}

fn second_cell(cell: &str) -> String {
    nodes(
        &format!("<cell id='0' cpus='0-1' memory='1024'/>{cell}"),
        "",
        "",
    )
}

#[test]
fn contradictory_numa_cells_are_refused() {
    refused(
        &second_cell("<cell id='2' memory='1024'/>"),
        "ids of NUMA cells are 0, 2",
        "<numa>",
    );
    refused(
        &second_cell("<cell id='0' memory='1024'/>"),
        "ids of NUMA cells are 0, 0",
        "<numa>",
    );
    refused(
        &second_cell("<cell id='1' cpus='1-2' memory='1024'/>"),
        "CPU 1 is in two NUMA cells",
        "<cell id='1'",
    );
    refused(
        &second_cell("<cell id='1' cpus='4' memory='1024'/>"),
        "has CPU 4",
        "<cell id='1'",
    );
    refused(
        &second_cell("<cell id='1' cpus='0,^0' memory='1024'/>"),
        "the set is empty",
        "0,^0",
    );
    refused(
        &second_cell("<cell id='1'/>"),
        "needs the attribute 'memory'",
        "<cell id='1'",
    );
    refused(
        &sibling("id='2' value='20'"),
        "<sibling id='2'> of NUMA cell 1 is not a cell",
        "<sibling",
    );
    refused(
        &sibling("id='1' value='20'"),
        "only a cell itself is at distance 10",
        "<sibling",
    );
    refused(
        &sibling("id='0' value='10'"),
        "only a cell itself is at distance 10",
        "<sibling",
    );
    refused(
        &sibling("id='0' value='9'"),
        "a distance from 10",
        "<sibling",
    );
    accepted(&sibling("id='0' value='21'"));
}

#[test]
fn wide_node_sets_and_many_cells_are_refused() {
    let wide = "<cell cpus='0-16383' memory='1024'/>".repeat(20_000);
    refused(&nodes(&wide, "", ""), "at most 128 NUMA cells", "<numa>");
    let pages = "<page size='2048' nodeset='0-16383'/>".repeat(20_000);
    let backing = format!("<memoryBacking><hugepages>{pages}</hugepages></memoryBacking>");
    refused(&nodes(TWO, &backing, ""), "no node 16383", "<hugepages");
}

fn latency(text: &str) -> String {
    interconnects(&format!("<latency {text} type='access' value='5'/>"))
}

fn interconnects(text: &str) -> String {
    nodes(
        &format!("{TWO}<interconnects>{text}</interconnects>"),
        "",
        "",
    )
}

#[test]
fn interconnects_of_missing_cells_are_refused() {
    accepted(&latency("initiator='0' target='1'"));
    refused(
        &latency("initiator='0' target='2'"),
        "'target' 2",
        "<latency",
    );
    refused(
        &latency("initiator='0' target='1' cache='1'"),
        "'cache' 1",
        "<latency",
    );
    refused(
        &interconnects("<latency initiator='0' target='1' value='5'/>"),
        "'type' is missing",
        "<latency",
    );
}

fn numatune(text: &str) -> String {
    nodes(TWO, &format!("<numatune>{text}</numatune>"), "")
}

fn memnode(cell: &str, mode: &str) -> String {
    format!("<memnode cellid='{cell}' mode='{mode}' nodeset='0'/>")
}

#[test]
fn contradictory_numatune_is_refused() {
    accepted(&numatune(&memnode("1", "preferred")));
    refused(
        &numatune(&memnode("2", "strict")),
        "<memnode cellid='2'> is not one of",
        "<memnode",
    );
    refused(
        &numatune(&memnode("1", "restrictive")),
        "must be 'restrictive' too",
        "<memnode",
    );
    let general = "<memory mode='restrictive' nodeset='0'/>";
    refused(
        &numatune(&format!("{general}{}", memnode("1", "strict"))),
        "must be 'restrictive' too",
        "<memnode",
    );
    let auto = format!("<memory placement='auto'/>{}", memnode("0", "strict"));
    refused(
        &numatune(&auto),
        "cannot be used with <memory placement='auto'/>",
        "<memnode",
    );
    refused(
        &numatune(&memnode("0", "strict").repeat(2)),
        "appears twice",
        "<memnode",
    );
    refused(
        &numatune("<memory mode='strict' nodeset='0,^0'/>"),
        "'nodeset' of <memory>",
        "0,^0",
    );
    let no_nodes = guest("q35", "").replace(
        "<os>",
        &format!("<numatune>{}</numatune><os>", memnode("0", "strict")),
    );
    refused(&no_nodes, "the guest has no NUMA cells", "<memnode");
}

#[test]
fn numatune_memory_without_a_nodeset_is_refused() {
    for memory in ["<memory mode='strict'/>", "<memory placement='static'/>"] {
        let tune = format!("<numatune>{memory}</numatune>");
        refused(&nodes(TWO, &tune, ""), "needs a 'nodeset'", "<memory ");
    }
}
