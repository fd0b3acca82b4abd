//! Memory devices.

use passthru_domain::device::Address;
use passthru_domain::memory::MemoryAccess;

use crate::common::{accepted, guest, refused};
use crate::helpers::{ROOM, TWO, nodes};

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
        "<maxMemory",
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
        "<maxMemory",
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

fn virtio_mem_at(base: &str) -> String {
    format!(
        "<memory model='virtio-mem'><target><size unit='MiB'>256</size><node>0</node>\
         <block unit='MiB'>2</block><requested>0</requested><address base='{base}'/></target>\
         </memory>"
    )
}

fn dimm_at(base: &str) -> String {
    dimm(&format!("<address type='dimm' slot='0' base='{base}'/>"))
}

fn nvdimm_at(slot: u8, base: &str) -> String {
    format!(
        "<memory model='nvdimm'><source><path>/x</path><alignsize unit='MiB'>2</alignsize></source>\
         <target><size unit='MiB'>256</size><node>0</node>\
         <label><size unit='KiB'>128</size></label></target>\
         <address type='dimm' slot='{slot}' base='{base}'/></memory>"
    )
}

#[test]
fn label_of_an_nvdimm_is_not_in_the_guests_memory() {
    let first = nvdimm_at(0, "0x140000000");
    let behind = format!("{first}{}", nvdimm_at(1, "0x14fe00000"));
    accepted(&nodes(TWO, ROOM, &behind));
    let within = format!("{first}{}", nvdimm_at(1, "0x14fc00000"));
    device_refused(nodes(TWO, ROOM, &within), "overlaps with the one at");
}

#[test]
fn overlapping_memory_devices_are_refused() {
    let first = virtio_mem_at("0x140000000");
    for second in ["0x140000000", "0x148000000", "0x138000000"] {
        for other in [virtio_mem_at(second), dimm_at(second)] {
            let both = format!("{first}{other}");
            device_refused(nodes(TWO, ROOM, &both), "overlaps with the one at");
        }
    }

    let behind = format!("{first}{}", virtio_mem_at("0x150000000"));
    accepted(&nodes(TWO, ROOM, &behind));
    let chosen = format!("{0}{0}{first}", virtio_mem_at("0x0"));
    accepted(&nodes(TWO, ROOM, &chosen));
    let low = virtio_mem_at("0x80000000");
    device_refused(nodes(TWO, ROOM, &low), "below 4 GiB");
    let odd = virtio_mem_at("0x140100000");
    device_refused(nodes(TWO, ROOM, &odd), "must be a multiple of the <block>");
    let pmem = "<memory model='virtio-pmem'><source><path>/x</path></source>\
        <target><size unit='MiB'>512</size><address base='0x140000800'/></target></memory>";
    device_refused(nodes(TWO, ROOM, pmem), "must be a multiple of a page");
    let beyond = virtio_mem_at("0xfffffffffff00000");
    device_refused(nodes(TWO, ROOM, &beyond), "does not fit into 64 bits");
}
