//! The guest's clock (`-rtc`), and timers, which are properties of the machine and the CPU.

use passthru_domain::clock::{Clock, ClockOffset, TickPolicy, Timer, TimerName};
use passthru_domain::{Board, Domain};

use crate::context::Context;
use crate::error::Error;
use crate::line::{List, Opt, Properties, Term};
use crate::utc::format_utc;

/// Returns `-rtc`, and the policy of the programmable interval timer (PIT).
pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let rtc = timer(context, "rtc");
    let list = List::headless()
        .with("base", base(context.domain.clock.as_ref())?)
        .maybe(
            "clock",
            rtc.and_then(|rtc| rtc.track)
                .map(|track| rtc_clock(track.as_str())),
        )
        .maybe(
            "driftfix",
            rtc.and_then(policy)
                .filter(|policy| *policy == "catchup")
                .map(|_| "slew"),
        );
    let rtc = Opt::list("-rtc", list);
    Ok([rtc].into_iter().chain(pit(context)).collect())
}

/// Returns the time that the clock shows at the start.
///
/// An adjustment is not supported. The start time would depend on today's time, so the same domain
/// would not give the same line.
fn base(clock: Option<&Clock>) -> Result<String, Error> {
    let Some(clock) = clock else {
        return Ok("utc".into());
    };
    let adjusted = clock
        .adjustment
        .as_deref()
        .is_some_and(|seconds| seconds != "reset" && seconds.parse() != Ok(0));
    match clock.offset {
        _ if adjusted => Err(Error::unsupported(
            "<clock> with an 'adjustment' other than 0",
        )),
        Some(ClockOffset::Localtime | ClockOffset::Timezone) => Ok("localtime".into()),
        Some(ClockOffset::Absolute) => Ok(format_utc(clock.start.unwrap_or(0))),
        Some(ClockOffset::Variable) => Ok(clock.basis.map_or("utc", |basis| basis.as_str()).into()),
        Some(ClockOffset::Utc) | None => Ok("utc".into()),
    }
}

/// Returns QEMU's word for the clock that the real-time clock follows.
fn rtc_clock(track: &str) -> &'static str {
    match track {
        "guest" => "vm",
        "wall" => "host",
        _ => "rt",
    }
}

/// Returns the policy of KVM's PIT, on x86. Lost ticks are delivered late (`delay`) by default.
fn pit(context: &Context<'_>) -> Option<Opt> {
    if !context.is_x86() {
        return None;
    }
    let policy = policy(timer(context, "pit")?).unwrap_or("delay");
    matches!(policy, "delay" | "discard")
        .then(|| Opt::plain("-global", format!("kvm-pit.lost_tick_policy={policy}")))
}

/// Returns whether a PC has a high precision event timer, if the domain says. A microvm has none.
pub(crate) fn hpet(context: &Context<'_>) -> Option<bool> {
    let has_property = context.is_x86() && context.board() != Board::Microvm;
    has_property.then(|| timer(context, "hpet")?.present)?
}

/// Returns the CPU's properties of timers: paravirtual clocks, and Arm's virtual timer.
pub(crate) fn cpu_properties(context: &Context<'_>) -> Properties {
    let timers = context.domain.clock.iter().flat_map(|clock| &clock.timers);
    timers
        .filter_map(|timer| cpu_property(context, timer))
        .collect()
}

/// Returns the CPU's property of a timer. Only CPUs of x86 have `kvmclock` and `tsc-frequency`.
fn cpu_property(context: &Context<'_>, timer: &Timer) -> Option<(String, Term)> {
    let (name, value) = match timer.name? {
        TimerName::Kvmclock | TimerName::Tsc if !context.is_x86() => return None,
        TimerName::Kvmclock => ("kvmclock", timer.present?.into()),
        TimerName::Hypervclock => ("hv-time", timer.present.filter(|present| *present)?.into()),
        TimerName::Tsc => ("tsc-frequency", timer.frequency?.into()),
        TimerName::Armvtimer => {
            let discards = timer.tickpolicy? == TickPolicy::Discard;
            ("kvm-no-adjvtime", discards.into())
        }
        _ => return None,
    };
    Some((name.to_owned(), value))
}

/// Returns the time zone of the guest's clock, for the emulator's environment (`TZ`).
pub(crate) fn time_zone(domain: &Domain) -> Option<&str> {
    let clock = domain
        .clock
        .as_ref()
        .filter(|clock| clock.offset == Some(ClockOffset::Timezone))?;
    clock.timezone.as_deref()
}

fn policy(timer: &Timer) -> Option<&'static str> {
    timer.tickpolicy.map(|policy| policy.as_str())
}

fn timer<'a>(context: &Context<'a>, name: &str) -> Option<&'a Timer> {
    let mut timers = context.domain.clock.as_ref()?.timers.iter();
    timers.find(|timer| timer.name.is_some_and(|known| known.as_str() == name))
}
