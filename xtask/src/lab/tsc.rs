//! The frequency of this machine's time-stamp counter, which is the virtual host's too under TCG.
//!
//! The virtual host's kernel measures it at boot against an emulated timer; on a busy machine that
//! can be wrong by a part in 500, and then guests under its KVM lose their timers. It is told
//! instead.
#![allow(unsafe_code, reason = "the counter is read by an instruction")]

use std::thread;
use std::time::{Duration, Instant};

/// How long the counter is watched.
const WATCHED: Duration = Duration::from_millis(50);

/// The frequency in kHz, exact to some parts in a million; none where there is no such counter.
pub(super) fn khz() -> Option<u64> {
    let (first, began) = reading()?;
    thread::sleep(WATCHED);
    let (last, ended) = reading()?;
    let nanoseconds = u64::try_from(ended.duration_since(began).as_nanos()).ok()?;
    last.checked_sub(first)?
        .checked_mul(1_000_000)?
        .checked_div(nanoseconds)
}

/// The counter and the time of the same moment: of several tries, the one that was interrupted
/// least.
fn reading() -> Option<(u64, Instant)> {
    let tries = (0..50).filter_map(|_| {
        let before = counter()?;
        let now = Instant::now();
        let after = counter()?;
        Some((after.wrapping_sub(before), before.midpoint(after), now))
    });
    tries
        .min_by_key(|(took, ..)| *took)
        .map(|(_, counter, now)| (counter, now))
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::unnecessary_wraps, reason = "other architectures have none")]
fn counter() -> Option<u64> {
    // SAFETY: reads a register; every x86_64 processor has the instruction, and Linux leaves it to
    // user programs.
    Some(unsafe { core::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_agree() {
        if let (Some(one), Some(two)) = (khz(), khz()) {
            assert!(one.abs_diff(two) * 1000 < one, "{one} kHz, {two} kHz");
        }
    }
}
