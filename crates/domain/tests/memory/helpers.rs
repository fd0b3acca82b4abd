//! Guests that these tests share.

use crate::common::guest;

/// Returns a guest with 4 CPUs, these NUMA cells, these elements before `<os>`, and these devices.
pub(crate) fn nodes(cells: &str, parts: &str, devices: &str) -> String {
    let parts = format!("<vcpu>4</vcpu>{parts}<cpu><numa>{cells}</numa></cpu><os>");
    guest("q35", devices)
        .replace("<memory>1048576</memory>", "")
        .replace("<os>", &parts)
}

pub(crate) const TWO: &str =
    "<cell id='0' cpus='0-1' memory='524288'/><cell id='1' cpus='2-3' memory='524288'/>";

pub(crate) const ROOM: &str = "<maxMemory slots='4' unit='GiB'>8</maxMemory>";
