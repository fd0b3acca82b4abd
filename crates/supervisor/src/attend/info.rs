//! The description of a guest, for `info` and the status file.

use passthru_guest::Guest;
use serde_json::{Value, json};

use crate::pinned::PinnedMemory;
use crate::status::Status;

/// Returns the addresses of the host's devices that a guest has.
pub(super) fn device_addresses(guest: &Guest) -> Vec<String> {
    let mut addresses = Vec::new();
    for function in guest.domain().devices.assigned_functions() {
        addresses.push(function.address.to_string());
    }
    addresses
}

/// Describes a guest, with the memory that its VMM has pinned.
pub(super) fn describe(guest: &Guest, status: &Status) -> Value {
    let domain = guest.domain();
    let pinned = PinnedMemory::of_process(guest.pid()).ok();
    let mut devices = Vec::new();
    for hostdev in domain.devices.assigned() {
        devices.push(json!({
            "alias": hostdev.info.id(),
            "device": hostdev.host_name(),
            "backend": domain.backend(hostdev).map(|backend| backend.as_str()),
        }));
    }

    for function in domain.devices.nvme_functions() {
        devices.push(json!({
            "alias": function.owner_name(),
            "device": function.address.to_string(),
            "backend": "type1",
        }));
    }

    json!({
        "name": guest.name(),
        "uuid": domain.uuid.as_ref().map(ToString::to_string),
        "state": status.state,
        "pid": guest.pid(),
        "uid": guest.uid(),
        "supervisor": status.supervisor.pid,
        "since": status.since,
        "memory": status.memory,
        "pinned": pinned.map(|memory| memory.bytes()),
        "vcpus": domain.vcpu.as_ref().and_then(|vcpu| vcpu.count),
        "console": guest.console(),
        "devices": devices,
    })
}
