//! I/O threads: unique ids, and pins to threads that exist.

use std::collections::HashSet;

use super::check::{Check, duplicates};

pub(super) fn check(check: &mut Check<'_>) {
    let domain = check.domain;
    let threads = domain.iothreadids.iter().flat_map(|ids| &ids.iothreads);
    for (first, second) in duplicates(threads.clone().map(|thread| (thread.id, thread))) {
        check.error(
            &second.span,
            format!("the iothread {} is described twice", first.id),
        );
    }

    let vcpupins = domain.cputune.iter().flat_map(|tune| &tune.vcpupins);
    for (first, _) in duplicates(vcpupins.map(|pin| (pin.vcpu, pin.vcpu))) {
        check.error(
            &domain.place_of("cputune"),
            format!("<vcpupin vcpu='{first}'> appears twice"),
        );
    }

    let pins = domain.cputune.iter().flat_map(|tune| &tune.iothreadpins);
    let ids: HashSet<u32> = threads.map(|thread| thread.id).collect();
    if domain
        .iothreads
        .is_some_and(|count| count as usize > ids.len())
    {
        check.error(
            &domain.place_of("iothreads"),
            format!("<iothreads> asks for more than {} threads", ids.len()),
        );
    }

    for pin in pins.filter(|pin| !ids.contains(&pin.iothread)) {
        let message = format!(
            "<iothreadpin iothread='{}'>: there is no such iothread",
            pin.iothread
        );
        check.error(&domain.place_of("cputune"), message);
    }
}
