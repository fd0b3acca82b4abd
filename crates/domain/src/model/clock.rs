//! `<clock>`: what time the guest starts with, and its timers.

use crate::xml::span::SourceSpan;
use crate::xml::value::words;
use crate::xml::{Element, Visitor};

words! {
    /// What the guest's clock shows at start.
    pub enum ClockOffset {
        /// UTC.
        Utc = "utc",
        /// The host's local time.
        Localtime = "localtime",
        /// An offset from UTC or local time, in seconds.
        Variable = "variable",
        /// A moment, in seconds since 1970.
        Absolute = "absolute",
        /// The time of a zone that is named.
        Timezone = "timezone",
    }
}

words! {
    /// A timer of the machine.
    pub enum TimerName {
        /// The PC's first timer.
        Pit = "pit",
        /// The real-time clock.
        Rtc = "rtc",
        /// The high precision event timer.
        Hpet = "hpet",
        /// The CPU's time stamp counter.
        Tsc = "tsc",
        /// KVM's paravirtual clock.
        Kvmclock = "kvmclock",
        /// Hyper-V's paravirtual clock.
        Hypervclock = "hypervclock",
        /// Arm's virtual timer.
        Armvtimer = "armvtimer",
        /// The host's timer, of Xen's guests.
        Platform = "platform",
    }
}

words! {
    /// What happens to ticks that came too late.
    pub enum TickPolicy {
        /// They are made up for at the normal rate.
        Delay = "delay",
        /// They are made up for at a higher rate.
        Catchup = "catchup",
        /// They become one.
        Merge = "merge",
        /// They are dropped.
        Discard = "discard",
    }
}

words! {
    /// What the real-time clock follows.
    pub enum TimerTrack {
        /// The guest's own time.
        Guest = "guest",
        /// The host's time.
        Wall = "wall",
        /// The host's time since its boot.
        Realtime = "realtime",
        /// The host's time since its boot.
        Boot = "boot",
    }
}

/// `<clock>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clock {
    /// What the clock shows at start.
    pub offset: Option<ClockOffset>,
    /// Seconds to add, for `variable`.
    pub adjustment: Option<String>,
    /// What the seconds are added to.
    pub basis: Option<ClockBasis>,
    /// The moment, for `absolute`.
    pub start: Option<u64>,
    /// The zone, for `timezone`.
    pub timezone: Option<String>,
    /// The timers.
    pub timers: Vec<Timer>,
}

words! {
    /// What an adjustment is added to.
    pub enum ClockBasis {
        /// UTC.
        Utc = "utc",
        /// The host's local time.
        Localtime = "localtime",
    }
}

/// `<timer>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timer {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Which one.
    pub name: Option<TimerName>,
    /// Whether the guest has it.
    pub present: Option<bool>,
    /// What happens to late ticks.
    pub tickpolicy: Option<TickPolicy>,
    /// What it follows.
    pub track: Option<TimerTrack>,
    /// Ticks a second, of the time stamp counter.
    pub frequency: Option<u64>,
    /// How the time stamp counter comes to the guest.
    pub mode: Option<TscMode>,
    /// How late ticks are made up for.
    pub catchup: Option<Catchup>,
}

words! {
    /// How the time stamp counter comes to the guest.
    pub enum TscMode {
        /// As the host finds best.
        Auto = "auto",
        /// The processor's.
        Native = "native",
        /// An emulated one.
        Emulate = "emulate",
        /// The processor's, and the guest is told when it jumps.
        Paravirt = "paravirt",
        /// The processor's, kept from jumping.
        Smpsafe = "smpsafe",
    }
}

/// `<catchup>`: limits for making up for late ticks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catchup {
    /// How late it begins.
    pub threshold: Option<u64>,
    /// How fast it goes.
    pub slew: Option<u64>,
    /// How much is made up for.
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
        let number = |text: &String| text == "reset" || text.parse::<i64>().is_ok();
        if self.adjustment.as_ref().is_some_and(|a| !number(a)) {
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
