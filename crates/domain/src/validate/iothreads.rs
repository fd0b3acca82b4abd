//! Threads that serve disks: each has its own id, and those that are pinned are there.

use super::{Check, duplicates};

pub(super) fn check(check: &mut Check<'_>) {
    let domain = check.domain;
    let threads = domain.iothreadids.iter().flat_map(|ids| &ids.iothreads);
    for (first, second) in duplicates(threads.clone().map(|thread| (thread.id, thread))) {
        check.error(&second.place, format!("the iothread {} is described twice", first.id));
    }
    let pins = domain.cputune.iter().flat_map(|tune| &tune.iothreadpins);
    for pin in pins.filter(|pin| threads.clone().all(|thread| thread.id != pin.iothread)) {
        let message = format!("<iothreadpin iothread='{}'>: there is no such iothread", pin.iothread);
        check.error(&domain.place, message);
    }
}
