//! Numbers of block nodes: one sequence, of the disks from the last to the first, then of the
//! host's SCSI devices.

use std::collections::HashMap;
use std::ptr;

use passthru_domain::device::hostdev::{Hostdev, HostdevSource};

use super::block::Chain;
use crate::context::Context;

/// Returns the number of the topmost node of a disk. Nodes are numbered from the last disk on, and
/// within a disk from the top.
pub(crate) fn first_node(context: &Context<'_>, disk: usize) -> usize {
    node_numbers(context)[disk]
}

/// Returns the number of the node of a SCSI device of the host. Those of SCSI devices follow those
/// of the disks.
pub(crate) fn scsi_node(context: &Context<'_>, hostdev: &Hostdev) -> usize {
    let numbers = context.scsi_nodes.get_or_init(|| scsi_numbers(context));
    let number = numbers.get(&ptr::from_ref(hostdev));
    number.copied().unwrap_or_default()
}

/// Numbers the nodes of all SCSI devices of the host, once a command line.
fn scsi_numbers(context: &Context<'_>) -> HashMap<*const Hostdev, usize> {
    let mut next = node_numbers(context).last().copied().unwrap_or(1);
    let mut numbers = HashMap::new();
    for hostdev in context.domain.devices.assigned() {
        numbers.insert(ptr::from_ref(hostdev), next);
        if matches!(hostdev.source, HostdevSource::Scsi(_)) && !hostdev.is_unassigned() {
            next += 1;
        }
    }

    numbers
}

/// Numbers the nodes of all disks, once a command line.
fn node_numbers<'c>(context: &'c Context<'_>) -> &'c [usize] {
    context.disk_nodes.get_or_init(|| {
        let mut next = 1;
        let mut numbers = Vec::new();
        for disk in context.domain.devices.disks.iter().rev() {
            numbers.push(next);
            next += Chain::new(context, disk).len();
        }

        numbers.reverse();
        numbers.push(next);
        numbers
    })
}
