//! Memory, NUMA nodes and memory devices: what is filled in, and what is refused, each with its
//! place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{accepted, guest, refused};
use passthru_domain::device::Address;
use passthru_domain::memory::MemoryAccess;

/// Makes a guest with 4 CPUs and these nodes, these parts before `<os>`, and these devices.
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
fn memory_that_is_not_said_is_that_of_the_nodes_and_devices() {
    let dimm =
        "<memory model='dimm'><target><size unit='MiB'>512</size><node>1</node></target></memory>";
    let domain = accepted(&nodes(TWO, ROOM, dimm));
    assert_eq!(domain.memory.unwrap().kib(), 1_572_864);
    assert_eq!(domain.current_memory.unwrap().kib(), 1_572_864);
}

#[test]
fn the_balloon_leaves_no_more_than_there_is() {
    let with = |kib| {
        guest("q35", "").replace("<os>", &format!("<currentMemory>{kib}</currentMemory><os>"))
    };
    assert_eq!(
        accepted(&with(2_097_152)).current_memory.unwrap().kib(),
        1_048_576
    );
    assert_eq!(
        accepted(&with(524_288)).current_memory.unwrap().kib(),
        524_288
    );
}

#[test]
fn nodes_are_numbered_in_their_order_and_sorted() {
    let cells = "<cell id='1' cpus='2-3' memory='1024'/><cell id='0' cpus='0-1' memory='2048'/>";
    let ids = |cells: &str| {
        let numa = accepted(&nodes(cells, "", "")).cpu.unwrap().numa.unwrap();
        numa.cells
            .iter()
            .map(|cell| (cell.id.unwrap(), cell.memory))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(cells), [(0, 2 << 20), (1, 1 << 20)]);
    assert_eq!(
        ids("<cell memory='1024'/><cell memory='2048'/>"),
        [(0, 1 << 20), (1, 2 << 20)]
    );
}

#[test]
fn modules_take_the_lowest_slots_that_are_free_and_their_names_from_them() {
    let dimm = |slot: &str| {
        format!(
            "<memory model='dimm'><target><size>524288</size><node>0</node></target>{slot}</memory>"
        )
    };
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

#[test]
fn nodes_that_do_not_fit_together() {
    let second = |cell: &str| {
        nodes(
            &format!("<cell id='0' cpus='0-1' memory='1024'/>{cell}"),
            "",
            "",
        )
    };
    refused(
        &second("<cell id='2' memory='1024'/>"),
        "ids of NUMA cells are 0, 2",
        "<numa>",
    );
    refused(
        &second("<cell id='0' memory='1024'/>"),
        "ids of NUMA cells are 0, 0",
        "<numa>",
    );
    refused(
        &second("<cell id='1' cpus='1-2' memory='1024'/>"),
        "CPU 1 is in two NUMA cells",
        "<cell id='1'",
    );
    refused(
        &second("<cell id='1' cpus='4' memory='1024'/>"),
        "has CPU 4",
        "<cell id='1'",
    );
    refused(
        &second("<cell id='1' cpus='0,^0' memory='1024'/>"),
        "the set is empty",
        "0,^0",
    );
    refused(
        &second("<cell id='1'/>"),
        "needs the attribute 'memory'",
        "<cell id='1'",
    );
    let sibling = |text: &str| {
        second(&format!(
            "<cell id='1' memory='1024'><distances><sibling {text}/></distances></cell>"
        ))
    };
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
fn hostile_sets_and_many_nodes_are_refused() {
    let wide = "<cell cpus='0-16383' memory='1024'/>".repeat(20_000);
    refused(&nodes(&wide, "", ""), "at most 128 NUMA cells", "<numa>");
    let pages = "<page size='2048' nodeset='0-16383'/>".repeat(20_000);
    let backing = format!("<memoryBacking><hugepages>{pages}</hugepages></memoryBacking>");
    refused(&nodes(TWO, &backing, ""), "no node 16383", "<domain");
}

#[test]
fn speeds_between_nodes_that_are_none() {
    let speeds = |text: &str| {
        nodes(
            &format!("{TWO}<interconnects>{text}</interconnects>"),
            "",
            "",
        )
    };
    let latency = |text: &str| speeds(&format!("<latency {text} type='access' value='5'/>"));
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
        &speeds("<latency initiator='0' target='1' value='5'/>"),
        "'type' is missing",
        "<latency",
    );
}

#[test]
fn places_for_memory_that_contradict_one_another() {
    let tuned = |text: &str| nodes(TWO, &format!("<numatune>{text}</numatune>"), "");
    let memnode =
        |cell: &str, mode: &str| format!("<memnode cellid='{cell}' mode='{mode}' nodeset='0'/>");
    accepted(&tuned(&memnode("1", "preferred")));
    refused(
        &tuned(&memnode("2", "strict")),
        "<memnode cellid='2'> is not one of",
        "<memnode",
    );
    refused(
        &tuned(&memnode("1", "restrictive")),
        "must be 'restrictive' too",
        "<memnode",
    );
    let general = "<memory mode='restrictive' nodeset='0'/>";
    refused(
        &tuned(&format!("{general}{}", memnode("1", "strict"))),
        "must be 'restrictive' too",
        "<memnode",
    );
    let auto = format!("<memory placement='auto'/>{}", memnode("0", "strict"));
    refused(
        &tuned(&auto),
        "cannot be used with <memory placement='auto'/>",
        "<memnode",
    );
    refused(
        &tuned(&memnode("0", "strict").repeat(2)),
        "appears twice",
        "<memnode",
    );
    refused(
        &tuned("<memory mode='strict' nodeset='0,^0'/>"),
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
fn huge_pages_that_cannot_be() {
    let huge = |pages: &str, rest: &str| {
        nodes(
            TWO,
            &format!("<memoryBacking><hugepages>{pages}</hugepages>{rest}</memoryBacking>"),
            "",
        )
    };
    let page = |size: &str, rest: &str| format!("<page size='{size}' unit='KiB' {rest}/>");
    accepted(&huge(
        &(page("2048", "") + &page("1048576", "nodeset='1'")),
        "",
    ));
    refused(
        &huge(&(page("2048", "") + &page("1048576", "")), ""),
        "both for all NUMA nodes",
        "<domain",
    );
    let both = page("2048", "nodeset='0-1'") + &page("1048576", "nodeset='1'");
    refused(&huge(&both, ""), "both for the same NUMA node", "<domain");
    refused(
        &huge(&page("2048", "nodeset='2'"), ""),
        "the guest has 2, and no node 2",
        "<domain",
    );
    refused(
        &huge("", "<source type='anonymous'/>"),
        "cannot be used with <source",
        "<domain",
    );
    refused(
        &huge("", "<allocation mode='ondemand'/>"),
        "cannot be used with <allocation",
        "<domain",
    );
}

#[test]
fn memory_devices_without_room() {
    let dimm =
        "<memory model='dimm'><target><size unit='GiB'>1</size><node>0</node></target></memory>";
    refused(&nodes(TWO, "", dimm), "needs <maxMemory>", "<memory model");
    let max = |text: &str| format!("<maxMemory {text}</maxMemory>");
    refused(
        &nodes(TWO, &max("slots='1' unit='GiB'>1"), dimm),
        "is less than <memory>",
        "<domain",
    );
    refused(
        &nodes(TWO, &max("slots='1' unit='GiB'>8"), &dimm.repeat(2)),
        "slot 1 of a memory module",
        "<memory model",
    );
    refused(
        &nodes(TWO, &max("unit='GiB'>8"), dimm),
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

#[test]
fn memory_devices_that_make_no_sense() {
    let device = |model: &str, source: &str, target: &str| {
        let device = format!(
            "<memory model='{model}'><source>{source}</source>\
             <target><size unit='MiB'>256</size>{target}</target></memory>"
        );
        nodes(TWO, ROOM, &device)
    };
    let wrong = |xml: String, words: &str| refused(&xml, words, "<memory model");
    wrong(device("dimm", "", ""), "needs the <node>");
    wrong(
        device("dimm", "", "<node>2</node>"),
        "is for NUMA node 2, but the guest has only 2",
    );
    wrong(
        device("dimm", "<path>/x</path>", "<node>0</node>"),
        "cannot have a <path>",
    );
    wrong(
        device("dimm", "", "<node>0</node><readonly/>"),
        "<readonly> is for 'nvdimm' devices only",
    );
    wrong(device("nvdimm", "", "<node>0</node>"), "needs the <path>");
    let label = |kib| {
        device(
            "nvdimm",
            "<path>/x</path>",
            &format!("<node>0</node><label><size>{kib}</size></label>"),
        )
    };
    wrong(label(64), "must have at least 128 KiB");
    wrong(label(262_144), "must be smaller than the device");
    let private =
        device("virtio-pmem", "<path>/x</path>", "").replace("model=", "access='private' model=");
    refused(&private, "needs access='shared'", "<memory access");
    wrong(
        device("virtio-pmem", "<path>/x</path>", "<node>0</node>"),
        "cannot have a NUMA <node>",
    );
    wrong(
        device("virtio-mem", "", "<node>0</node>"),
        "needs its <block>",
    );
    let blocks = |block, requested| {
        let target =
            format!("<node>0</node><block>{block}</block><requested>{requested}</requested>");
        device("virtio-mem", "", &target)
    };
    wrong(blocks(3000, 0), "must be a power of two");
    wrong(blocks(2048, 1000), "must be multiples of its <block>");
    wrong(
        blocks(2048, 524_288),
        "<requested> of a 'virtio-mem' device is more than its <size>",
    );
    accepted(&blocks(2048, 0));
}

#[test]
fn memory_can_come_later_to_z_without_nodes_as_virtio_memory() {
    let memory = "<memory model='virtio-mem'><target><size unit='MiB'>512</size><block unit='MiB'>2</block>\
                  <requested>0</requested></target></memory>";
    let z =
        |devices: &str| guest("s390-ccw-virtio", devices).replace("<os>", &format!("{ROOM}<os>"));
    let domain = accepted(&z(memory));
    assert!(matches!(
        domain.devices.memories[0].info.address,
        Some(Address::Ccw(_))
    ));
    let dimm = "<memory model='dimm'><target><size unit='MiB'>512</size></target></memory>";
    refused(
        &z(dimm),
        "no memory devices of model 'dimm'",
        "<memory model",
    );
}

#[test]
fn what_kinds_of_memory_have_when_it_is_not_said() {
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
fn memory_that_is_placed_by_hand_needs_nodes() {
    for memory in ["<memory mode='strict'/>", "<memory placement='static'/>"] {
        let tune = format!("<numatune>{memory}</numatune>");
        refused(&nodes(TWO, &tune, ""), "needs a 'nodeset'", "<memory ");
    }
}
