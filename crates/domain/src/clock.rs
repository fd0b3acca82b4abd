//! `<clock>`: what time the guest starts with, and its timers.

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
    /// Which one.
    pub name: Option<TimerName>,
    /// Whether the guest has it.
    pub present: Option<bool>,
    /// What happens to late ticks.
    pub tickpolicy: Option<TickPolicy>,
    /// What it follows.
    pub track: Option<TimerTrack>,
}

impl Element for Clock {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("offset", &mut self.offset);
        v.attr("adjustment", &mut self.adjustment);
        v.attr("basis", &mut self.basis);
        v.attr("start", &mut self.start);
        v.children("timer", &mut self.timers);
        let number = |text: &String| text.parse::<i64>().is_ok();
        if self.adjustment.as_ref().is_some_and(|a| !number(a)) {
            v.error("'adjustment' of <clock> is a number of seconds".into());
        }
    }
}

impl Element for Timer {
    fn visit<V: Visitor>(&mut self, v: &mut V) {
        v.attr("name", &mut self.name);
        v.yes_no("present", &mut self.present);
        v.attr("tickpolicy", &mut self.tickpolicy);
        v.attr("track", &mut self.track);
        if self.name.is_none() {
            v.error("<timer> needs a 'name'".into());
        }
    }
}
