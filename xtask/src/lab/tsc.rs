//! The frequency of this machine's time-stamp counter, which is the virtual host's too under TCG.
//!
//! The virtual host's kernel would measure the frequency at boot against an emulated timer. On a
//! busy machine, the result can be off by 1 part in 500, and guests under its KVM then lose their
//! timers. The lab therefore passes the frequency to the kernel.
#![allow(unsafe_code, reason = "the counter is read by an instruction")]

use std::thread;
use std::time::{Duration, Instant};

/// Duration of the measurement.
const WATCHED: Duration = Duration::from_millis(50);

/// Measures the frequency in kHz, exact to some parts in a million. Returns `None` on a machine
/// without such a counter.
pub(super) fn khz() -> Option<u64> {
    let (first, began) = reading()?;
    thread::sleep(WATCHED);
    let (last, ended) = reading()?;
    let nanoseconds = u64::try_from(ended.duration_since(began).as_nanos()).ok()?;
    last.checked_sub(first)?
        .checked_mul(1_000_000)?
        .checked_div(nanoseconds)
}

/// Returns the counter and the time of one moment: the least interrupted of several attempts.
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
