//! Threads that serve disks: those that are counted and not named get the lowest ids that are free.

use std::collections::BTreeSet;

use crate::model::domain::Domain;
use crate::model::iothreads::Iothread;

pub(super) fn fill(domain: &mut Domain) {
    let named = domain
        .iothreadids
        .as_ref()
        .map_or(0, |ids| ids.iothreads.len());
    let wanted = domain.iothreads.unwrap_or(0) as usize;
    if wanted == 0 && named == 0 {
        return;
    }
    let ids = domain.iothreadids.get_or_insert_default();
    let mut used: BTreeSet<u32> = ids.iothreads.iter().map(|thread| thread.id).collect();
    let mut next = 1;
    while ids.iothreads.len() < wanted.min(MOST) {
        if used.insert(next) {
            ids.iothreads.push(Iothread {
                id: next,
                is_implied: true,
                ..Iothread::default()
            });
        }
        next += 1;
    }
    domain.iothreads = u32::try_from(wanted.max(ids.iothreads.len())).ok();
}

/// More threads than any guest has: what is beyond is not made, and refused.
const MOST: usize = 1 << 16;
