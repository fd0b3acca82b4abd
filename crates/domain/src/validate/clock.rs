//! Timers: the architectures that have each, and its attributes.

use super::check::{Check, duplicates};
use crate::model::clock::{TickPolicy, Timer, TimerName};
use crate::model::os::Arch;

pub(super) fn check(check: &mut Check<'_>) {
    let Some(clock) = &check.domain.clock else {
        return;
    };
    for timer in &clock.timers {
        if let Some(message) = find_error(timer, check.machine.arch) {
            check.error(&timer.span, message);
        }
    }

    for (first, second) in duplicates(clock.timers.iter().map(|timer| (timer.name, timer))) {
        let name = first.name.map_or("", TimerName::as_str);
        check.error(
            &second.span,
            format!("the timer '{name}' is described twice"),
        );
    }
}

/// Returns the error of a timer, if it has one.
fn find_error(timer: &Timer, arch: Arch) -> Option<String> {
    let name = timer.name?;
    let x86 = matches!(arch, Arch::X86_64 | Arch::I686);
    let only = match name {
        TimerName::Platform => "guests of Xen",
        TimerName::Armvtimer if arch != Arch::Aarch64 => "aarch64",
        TimerName::Pit | TimerName::Hpet | TimerName::Tsc | TimerName::Kvmclock if !x86 => "x86",
        TimerName::Hypervclock if !x86 && arch != Arch::Aarch64 => "x86 and aarch64",
        _ => return attribute_error(timer, name),
    };
    Some(format!(
        "the timer '{name}' is for {only} only, not for {arch}"
    ))
}

/// Returns the error of a timer's attributes, if one does not fit the timer.
fn attribute_error(timer: &Timer, name: TimerName) -> Option<String> {
    let known: &[TickPolicy] = match name {
        TimerName::Pit => &[TickPolicy::Delay, TickPolicy::Catchup, TickPolicy::Discard],
        TimerName::Rtc => &[TickPolicy::Delay, TickPolicy::Catchup],
        TimerName::Armvtimer => &[TickPolicy::Delay, TickPolicy::Discard],
        _ => &[],
    };
    if let Some(policy) = timer.tickpolicy.filter(|policy| !known.contains(policy)) {
        return Some(format!("the timer '{name}' has no tickpolicy '{policy}'"));
    }
    if timer.frequency.is_some() && name != TimerName::Tsc {
        return Some(format!(
            "the timer '{name}' has no frequency; only 'tsc' has one"
        ));
    }

    if timer.track.is_some() && name != TimerName::Rtc {
        return Some(format!(
            "the timer '{name}' cannot have 'track'; only 'rtc' can"
        ));
    }

    if timer.track.is_some_and(|track| track.as_str() == "boot") {
        return Some(format!(
            "track='boot' of the timer '{name}' is for guests of Xen only"
        ));
    }

    if timer
        .mode
        .is_some_and(|mode| mode.as_str() != "auto" && mode.as_str() != "native")
    {
        return Some(format!(
            "this 'mode' of the timer '{name}' is for guests of Xen only"
        ));
    }

    None
}
