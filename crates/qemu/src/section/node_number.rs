//! Numbers of block nodes. All disks share one sequence, from the last disk to the first.

use super::block::Chain;
use crate::context::Context;

/// Returns the number of the topmost node of a disk. Nodes are numbered from the last disk on, and
/// within a disk from the top.
pub(crate) fn first_node(context: &Context<'_>, disk: usize) -> usize {
    node_numbers(context)[disk]
}

/// Returns the number of the first node after those of all disks.
pub(crate) fn node_after_disks(context: &Context<'_>) -> usize {
    node_numbers(context).last().copied().unwrap_or(1)
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
