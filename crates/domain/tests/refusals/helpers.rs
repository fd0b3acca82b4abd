//! Guests and assertions that these tests share.

use crate::common;
use crate::common::guest;

#[track_caller]
pub(crate) fn refused(machine: &str, devices: &str, words: &str, at: &str) {
    common::refused(&guest(machine, devices), words, at);
}

#[track_caller]
pub(crate) fn accepted(machine: &str, devices: &str) {
    common::accepted(&guest(machine, devices));
}

pub(crate) fn hostdev(source: &str, rest: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci'><source><address {source}/></source>{rest}</hostdev>"
    )
}

pub(crate) const VIRTIO_NET: &str = "<interface type='user'><model type='virtio'/>";
