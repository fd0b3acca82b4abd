//! `<clock>`: the guest's time at start, and its timers.

use crate::xml::span::SourceSpan;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// The base of the guest's clock at start.
    pub enum ClockOffset {
        /// UTC.
        Utc = "utc",
        /// The host's local time.
        Localtime = "localtime",
        /// UTC or local time plus a number of seconds.
        Variable = "variable",
        /// A given moment, in seconds since 1970.
        Absolute = "absolute",
        /// The time of a named time zone.
        Timezone = "timezone",
    }
}

words! {
    /// A timer of the machine.
    pub enum TimerName {
        /// The PC's programmable interval timer (i8254).
        Pit = "pit",
        /// The real-time clock.
        Rtc = "rtc",
        /// The high precision event timer (HPET).
        Hpet = "hpet",
        /// The CPU's time stamp counter.
        Tsc = "tsc",
        /// KVM's paravirtual clock.
        Kvmclock = "kvmclock",
        /// Hyper-V's paravirtual clock.
        Hypervclock = "hypervclock",
        /// Arm's virtual timer.
        Armvtimer = "armvtimer",
        /// The host's timer, for guests of Xen.
        Platform = "platform",
    }
}

words! {
    /// The policy for timer ticks that could not be delivered in time.
    pub enum TickPolicy {
        /// Late ticks are delivered at the normal rate.
        Delay = "delay",
        /// Late ticks are delivered at a higher rate.
        Catchup = "catchup",
        /// Late ticks are merged into one.
        Merge = "merge",
        /// Late ticks are dropped.
        Discard = "discard",
    }
}

words! {
    /// The clock that the real-time clock follows.
    pub enum TimerTrack {
        /// The guest's virtual time, which stops while the guest is stopped.
        Guest = "guest",
        /// The host's wall clock.
        Wall = "wall",
        /// The host's time since boot.
        Realtime = "realtime",
        /// The host's time since boot.
        Boot = "boot",
    }
}

/// `<clock>`: the guest's clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clock {
    /// Base of the clock at start.
    pub offset: Option<ClockOffset>,
    /// Number of seconds added to the base, or `reset` for none.
    pub adjustment: Option<String>,
    /// Basis of the adjustment, for `variable`.
    pub basis: Option<ClockBasis>,
    /// Seconds since 1970, for `absolute`.
    pub start: Option<u64>,
    /// Name of the time zone, for `timezone`.
    pub timezone: Option<String>,
    /// Timers of the machine.
    pub timers: Vec<Timer>,
}

words! {
    /// The time that an adjustment is added to.
    pub enum ClockBasis {
        /// UTC.
        Utc = "utc",
        /// The host's local time.
        Localtime = "localtime",
    }
}

/// `<timer>`: one timer of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timer {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Timer that the element describes.
    pub name: Option<TimerName>,
    /// Presence of the timer.
    pub present: Option<bool>,
    /// Policy for late ticks.
    pub tickpolicy: Option<TickPolicy>,
    /// Clock that the timer follows, for `rtc` and `platform`.
    pub track: Option<TimerTrack>,
    /// Frequency of the time stamp counter in Hz.
    pub frequency: Option<u64>,
    /// Access to the time stamp counter.
    pub mode: Option<TscMode>,
    /// Limits for `tickpolicy='catchup'`.
    pub catchup: Option<Catchup>,
}

words! {
    /// The guest's access to the time stamp counter.
    pub enum TscMode {
        /// Native if the host's counter is stable, else emulated.
        Auto = "auto",
        /// Direct access to the processor's counter.
        Native = "native",
        /// Emulated access.
        Emulate = "emulate",
        /// Direct access; the guest is notified of jumps.
        Paravirt = "paravirt",
        /// Direct access; the counter never jumps.
        Smpsafe = "smpsafe",
    }
}

/// `<catchup>`: limits for the delivery of late ticks at a higher rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catchup {
    /// Delay at which the delivery starts.
    pub threshold: Option<u64>,
    /// Largest rate of the delivery.
    pub slew: Option<u64>,
    /// Largest delay that the delivery makes up for.
    pub limit: Option<u64>,
}

impl Element for Clock {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("offset", &mut self.offset);
        v.attr("adjustment", &mut self.adjustment);
        v.attr("basis", &mut self.basis);
        v.attr("start", &mut self.start);
        v.attr("timezone", &mut self.timezone);
        v.children("timer", &mut self.timers);
        let adjustment = self.adjustment.as_deref();
        if adjustment.is_some_and(|text| text != "reset" && text.parse::<i64>().is_err()) {
            v.error("'adjustment' of <clock> must be a number of seconds or 'reset'".into());
        }
        match self.offset {
            Some(ClockOffset::Timezone) if self.timezone.is_none() => {
                v.error("<clock offset='timezone'> needs the attribute 'timezone'".into());
            }
            Some(ClockOffset::Absolute) if self.start.is_none() => {
                v.error("<clock offset='absolute'> needs the attribute 'start'".into());
            }
            _ => {}
        }
    }
}

impl Element for Timer {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.attr("name", &mut self.name);
        v.yes_no("present", &mut self.present);
        v.attr("tickpolicy", &mut self.tickpolicy);
        v.attr("track", &mut self.track);
        v.attr("frequency", &mut self.frequency);
        v.attr("mode", &mut self.mode);
        v.child("catchup", &mut self.catchup);
        if self.name.is_none() {
            v.error("<timer> needs a 'name'".into());
        }
    }
}

impl Element for Catchup {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("threshold", &mut self.threshold);
        v.attr("slew", &mut self.slew);
        v.attr("limit", &mut self.limit);
    }
}
