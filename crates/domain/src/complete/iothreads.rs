//! I/O threads: those that `<iothreads>` only counts get the lowest free ids.

use std::collections::BTreeSet;

use crate::model::domain::Domain;
use crate::model::iothreads::Iothread;

/// Adds the I/O threads that are counted but not described.
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
    while ids.iothreads.len() < wanted.min(MAX_ADDED) {
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

/// Most threads that are added. `validate` refuses a domain that asks for more.
const MAX_ADDED: usize = 1 << 16;
