//! Timers: the architectures that have each, and its attributes.

use super::check::{Check, duplicates};
use crate::error::Note;
use crate::model::clock::{Catchup, Clock, TickPolicy, Timer, TimerName};
use crate::model::domain::VirtType;
use crate::model::os::Arch;
use crate::platform::Board;

/// Latest start of the guest's clock, 9999-12-31T23:59:59, in seconds since 1970.
const LATEST_START: u64 = 253_402_300_799;

pub(super) fn check(check: &mut Check<'_>) {
    let Some(clock) = &check.domain.clock else {
        return;
    };
    if let Some(start) = clock.start.filter(|start| *start > LATEST_START) {
        check.error(
            &check.domain.span,
            format!("start='{start}' of <clock> is above {LATEST_START}, the end of the year 9999"),
        );
    }

    for timer in &clock.timers {
        let Some(name) = timer.name else { continue };
        let error = machine_error(check, timer, name);
        if let Some(message) = error.or_else(|| attribute_error(check, timer, name)) {
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

/// Returns the error of a timer that the machine does not have.
///
/// A timer that only other architectures have is an error with `present='yes'` alone, and the PIT
/// not even then (libvirt's `qemuValidateDomainDefClockTimers`). Arm's own timer needs KVM, and is
/// always present.
fn machine_error(check: &Check<'_>, timer: &Timer, name: TimerName) -> Option<String> {
    let arch = check.machine.arch;
    if name == TimerName::Platform {
        return Some(format!("the timer '{name}' is for guests of Xen only"));
    }
    if name == TimerName::Armvtimer {
        return arm_error(check, timer, name);
    }
    if timer.present != Some(true) || name == TimerName::Pit {
        return None;
    }
    if name == TimerName::Hpet && check.machine.board == Board::Microvm {
        let machine = &check.machine.name;
        return Some(format!(
            "the machine '{machine}' does not have the timer '{name}'"
        ));
    }

    if has_timer(arch, name) {
        return None;
    }
    let only = match name {
        TimerName::Hypervclock => "x86 and aarch64",
        _ => "x86",
    };
    Some(format!(
        "the timer '{name}' is for {only} only, not for {arch}"
    ))
}

/// Returns the error of Arm's virtual timer where the guest has none, or cannot be without it.
fn arm_error(check: &Check<'_>, timer: &Timer, name: TimerName) -> Option<String> {
    let arch = check.machine.arch;
    if arch != Arch::Aarch64 {
        return Some(format!(
            "the timer '{name}' is for aarch64 only, not for {arch}"
        ));
    }

    if check.machine.board != Board::Virt {
        let machine = &check.machine.name;
        return Some(format!(
            "the timer '{name}' is for the machine 'virt' only, not for '{machine}'"
        ));
    }

    if check.domain.kind == Some(VirtType::Qemu) {
        return Some(format!("the timer '{name}' needs <domain type='kvm'>"));
    }

    (timer.present == Some(false)).then(|| format!("the timer '{name}' cannot be left out"))
}

/// Returns whether guests of an architecture can have a timer. Arm's `armvtimer` is left to
/// [`arm_error`].
const fn has_timer(arch: Arch, name: TimerName) -> bool {
    let x86 = matches!(arch, Arch::X86_64 | Arch::I686);
    match name {
        TimerName::Pit | TimerName::Hpet | TimerName::Tsc | TimerName::Kvmclock => x86,
        TimerName::Hypervclock => x86 || matches!(arch, Arch::Aarch64),
        TimerName::Rtc | TimerName::Armvtimer | TimerName::Platform => true,
    }
}

/// Returns the error of a timer's attributes, if one does not fit the timer.
///
/// These are the rules of libvirt's `qemuValidateDomainDefClockTimers` and
/// `virDomainDefPostParseTimer`. Attributes that fit and have no effect are notes ([`notes`]).
fn attribute_error(check: &Check<'_>, timer: &Timer, name: TimerName) -> Option<String> {
    let known = tick_policies(check.machine.arch, name);
    if let Some(policy) = timer.tickpolicy.filter(|policy| !known.contains(policy)) {
        return Some(format!("the timer '{name}' has no tickpolicy '{policy}'"));
    }
    if limits_catching_up(timer) && timer.tickpolicy != Some(TickPolicy::Catchup) {
        return Some(format!(
            "<catchup> of the timer '{name}' needs tickpolicy='catchup'"
        ));
    }

    if timer.frequency.is_some() && name != TimerName::Tsc {
        return Some(format!(
            "the timer '{name}' has no frequency; only 'tsc' has one"
        ));
    }

    if timer.mode.is_some() && name != TimerName::Tsc {
        return Some(format!(
            "the timer '{name}' has no mode; only 'tsc' has one"
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

    None
}

/// Returns the policies that a timer can be given. Those of `hpet` and `tsc` have no effect.
const fn tick_policies(arch: Arch, name: TimerName) -> &'static [TickPolicy] {
    match name {
        TimerName::Pit if matches!(arch, Arch::X86_64 | Arch::I686) => {
            &[TickPolicy::Delay, TickPolicy::Catchup, TickPolicy::Discard]
        }
        TimerName::Pit | TimerName::Armvtimer => &[TickPolicy::Delay, TickPolicy::Discard],
        TimerName::Rtc => &[TickPolicy::Delay, TickPolicy::Catchup],
        TimerName::Hpet | TimerName::Tsc => &[
            TickPolicy::Delay,
            TickPolicy::Catchup,
            TickPolicy::Merge,
            TickPolicy::Discard,
        ],
        TimerName::Kvmclock | TimerName::Hypervclock | TimerName::Platform => &[],
    }
}

/// Returns whether `<catchup>` of a timer sets a limit. A limit of 0 is none.
fn limits_catching_up(timer: &Timer) -> bool {
    let Some(catchup) = &timer.catchup else {
        return false;
    };
    let Catchup {
        threshold,
        slew,
        limit,
    } = catchup;
    [threshold, slew, limit]
        .into_iter()
        .any(|limit| limit.is_some_and(|limit| limit != 0))
}

/// Notes the settings of timers that have no effect.
pub(super) fn notes(clock: &Clock, arch: Arch) -> Vec<Note> {
    let mut notes = Vec::new();
    for timer in &clock.timers {
        let Some(name) = timer.name else { continue };
        let settings = settings_without_effect(timer, name, arch);
        if settings.is_empty() {
            continue;
        }
        let settings = settings.join(", ");
        let reason = if has_timer(arch, name) {
            "the emulator has no such setting".to_owned()
        } else {
            format!("{arch} has no such timer")
        };
        let message = format!("{settings} of the timer '{name}' has no effect: {reason}");
        notes.push(Note::new(message, timer.span.0.clone()));
    }

    notes
}

/// Returns the names of a timer's attributes and elements that have no effect.
fn settings_without_effect(timer: &Timer, name: TimerName, arch: Arch) -> Vec<&'static str> {
    let is_missing = !has_timer(arch, name);
    let has_policy = matches!(name, TimerName::Pit | TimerName::Rtc | TimerName::Armvtimer);
    // Machines that have these two always have them.
    let stays = matches!(name, TimerName::Pit | TimerName::Rtc);
    let all = [
        ("present", stays && timer.present == Some(is_missing)),
        (
            "tickpolicy",
            timer.tickpolicy.is_some() && (is_missing || !has_policy),
        ),
        ("frequency", timer.frequency.is_some() && is_missing),
        ("mode", timer.mode.is_some()),
        ("catchup", limits_catching_up(timer)),
    ];
    let mut names = Vec::new();
    for (name, is_set) in all {
        if is_set {
            names.push(name);
        }
    }

    names
}
