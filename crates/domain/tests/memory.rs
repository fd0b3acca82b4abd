//! Memory, NUMA cells and memory devices: defaults and refusals, with their positions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use passthru_domain::device::Address;
use passthru_domain::memory::MemoryAccess;

use common::{accepted, guest, refused};

/// Returns a guest with 4 CPUs, these NUMA cells, these elements before `<os>`, and these devices.
fn nodes(cells: &str, parts: &str, devices: &str) -> String {
    let parts = format!("<vcpu>4</vcpu>{parts}<cpu><numa>{cells}</numa></cpu><os>");
    guest("q35", devices)
        .replace("<memory>1048576</memory>", "")
        .replace("<os>", &parts)
}

const TWO: &str =
    "<cell id='0' cpus='0-1' memory='524288'/><cell id='1' cpus='2-3' memory='524288'/>";
const ROOM: &str = "<maxMemory slots='4' unit='GiB'>8</maxMemory>";

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

fn dimm(slot: &str) -> String {
    format!(
        "<memory model='dimm'><target><size>524288</size><node>0</node></target>{slot}</memory>"
    )
}

#[test]
fn memory_modules_take_the_lowest_free_slots() {
    let devices = [dimm(""), dimm("<address type='dimm' slot='0'/>"), dimm("")].concat();
    let domain = accepted(&nodes(TWO, ROOM, &devices));
    let slots: Vec<_> = domain
        .devices
        .memories
        .iter()
        .map(|m| match &m.info.address {
            Some(Address::Dimm(dimm)) => (dimm.slot.unwrap(), m.info.id()),
            _ => panic!("no slot"),
        })
        .collect();
    assert_eq!(slots, [(1, "dimm1"), (0, "dimm0"), (2, "dimm2")]);
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
    refused(&nodes(TWO, &backing, ""), "no node 16383", "<domain");
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
        "<domain",
    );
    let both = page("2048", "nodeset='0-1'") + &page("1048576", "nodeset='1'");
    refused(
        &hugepages(&both, ""),
        "both for the same NUMA node",
        "<domain",
    );
    refused(
        &hugepages(&page("2048", "nodeset='2'"), ""),
        "the guest has 2, and no node 2",
        "<domain",
    );
    refused(
        &hugepages("", "<source type='anonymous'/>"),
        "cannot be used with <source",
        "<domain",
    );
    refused(
        &hugepages("", "<allocation mode='ondemand'/>"),
        "cannot be used with <allocation",
        "<domain",
    );
}

fn max_memory(text: &str) -> String {
    format!("<maxMemory {text}</maxMemory>")
}

#[test]
fn memory_devices_without_room_are_refused() {
    let dimm =
        "<memory model='dimm'><target><size unit='GiB'>1</size><node>0</node></target></memory>";
    refused(&nodes(TWO, "", dimm), "needs <maxMemory>", "<memory model");
    refused(
        &nodes(TWO, &max_memory("slots='1' unit='GiB'>1"), dimm),
        "is less than <memory>",
        "<domain",
    );
    refused(
        &nodes(TWO, &max_memory("slots='1' unit='GiB'>8"), &dimm.repeat(2)),
        "slot 1 of a memory module",
        "<memory model",
    );
    refused(
        &nodes(TWO, &max_memory("unit='GiB'>8"), dimm),
        "not one of the 0 slots",
        "<memory model",
    );
    refused(
        &guest("q35", "").replace("<os>", &format!("{ROOM}<os>")),
        "needs a guest with a NUMA node",
        "<domain",
    );
    let at = |slot: u32| {
        dimm.replace(
            "</memory>",
            &format!("<address type='dimm' slot='{slot}'/></memory>"),
        )
    };
    refused(
        &nodes(TWO, ROOM, &at(3).repeat(2)),
        "slot 3 is used by two",
        "<memory model",
    );
}

fn nvdimm_with_label(kib: u64) -> String {
    memory_device(
        "nvdimm",
        "<path>/x</path>",
        &format!("<node>0</node><label><size>{kib}</size></label>"),
    )
}

fn virtio_mem(block: u64, requested: u64) -> String {
    let target = format!("<node>0</node><block>{block}</block><requested>{requested}</requested>");
    memory_device("virtio-mem", "", &target)
}

fn memory_device(model: &str, source: &str, target: &str) -> String {
    let device = format!(
        "<memory model='{model}'><source>{source}</source>\
             <target><size unit='MiB'>256</size>{target}</target></memory>"
    );
    nodes(TWO, ROOM, &device)
}

#[track_caller]
fn device_refused(xml: String, words: &str) {
    refused(&xml, words, "<memory model");
}

#[test]
fn impossible_memory_devices_are_refused() {
    device_refused(memory_device("dimm", "", ""), "needs the <node>");
    device_refused(
        memory_device("dimm", "", "<node>2</node>"),
        "is for NUMA node 2, but the guest has only 2",
    );
    device_refused(
        memory_device("dimm", "<path>/x</path>", "<node>0</node>"),
        "cannot have a <path>",
    );
    device_refused(
        memory_device("dimm", "", "<node>0</node><readonly/>"),
        "<readonly> is for 'nvdimm' devices only",
    );
    device_refused(
        memory_device("nvdimm", "", "<node>0</node>"),
        "needs the <path>",
    );
    device_refused(nvdimm_with_label(64), "must have at least 128 KiB");
    device_refused(
        nvdimm_with_label(262_144),
        "must be smaller than the device",
    );
    let private = memory_device("virtio-pmem", "<path>/x</path>", "")
        .replace("model=", "access='private' model=");
    refused(&private, "needs access='shared'", "<memory access");
    device_refused(
        memory_device("virtio-pmem", "<path>/x</path>", "<node>0</node>"),
        "cannot have a NUMA <node>",
    );
    device_refused(
        memory_device("virtio-mem", "", "<node>0</node>"),
        "needs its <block>",
    );
    device_refused(virtio_mem(3000, 0), "must be a power of two");
    device_refused(virtio_mem(2048, 1000), "must be multiples of its <block>");
    device_refused(
        virtio_mem(2048, 524_288),
        "<requested> of a 'virtio-mem' device is more than its <size>",
    );
    accepted(&virtio_mem(2048, 0));
}

fn s390x_guest(devices: &str) -> String {
    guest("s390-ccw-virtio", devices).replace("<os>", &format!("{ROOM}<os>"))
}

#[test]
fn virtio_mem_on_s390x_needs_no_numa_cell() {
    let memory = "<memory model='virtio-mem'><target><size unit='MiB'>512</size>\
        <block unit='MiB'>2</block>\
                  <requested>0</requested></target></memory>";
    let domain = accepted(&s390x_guest(memory));
    assert!(matches!(
        domain.devices.memories[0].info.address,
        Some(Address::Ccw(_))
    ));
    let dimm = "<memory model='dimm'><target><size unit='MiB'>512</size></target></memory>";
    refused(
        &s390x_guest(dimm),
        "no memory devices of model 'dimm'",
        "<memory model",
    );
}

#[test]
fn memory_devices_get_default_access_and_node() {
    let pmem = "<memory model='virtio-pmem'><source><path>/pmem</path></source>\
                <target><size unit='MiB'>512</size></target></memory>";
    let domain = accepted(&nodes(TWO, ROOM, pmem));
    assert_eq!(
        domain.devices.memories[0].access,
        Some(MemoryAccess::Shared)
    );
    let enclave = "<memory model='sgx-epc'><target><size unit='MiB'>16</size></target></memory>";
    assert_eq!(
        accepted(&nodes(TWO, "", enclave)).devices.memories[0]
            .target
            .node,
        Some(0)
    );
}

#[test]
fn numatune_memory_without_a_nodeset_is_refused() {
    for memory in ["<memory mode='strict'/>", "<memory placement='static'/>"] {
        let tune = format!("<numatune>{memory}</numatune>");
        refused(&nodes(TWO, &tune, ""), "needs a 'nodeset'", "<memory ");
    }
}
