//! Processor time of other processes.

use std::fs;
use std::thread;
use std::time::Duration;

/// Measures for 5 s how much processor time a QEMU uses, and describes the result.
pub(crate) fn describe_load(qemu: u32) -> String {
    const SECONDS: u64 = 5;
    let before = cpu_ticks(qemu);
    thread::sleep(Duration::from_secs(SECONDS));
    match (before, cpu_ticks(qemu)) {
        (Some(before), Some(after)) => {
            format!(
                "its QEMU used {} ticks of {SECONDS} s",
                after.saturating_sub(before)
            )
        }
        _ => "the load of its QEMU is not known".into(),
    }
}

/// Returns user and system time of a process, in clock ticks. Returns `None` if the process has
/// ended.
pub(crate) fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::running::Running;

    #[test]
    fn busy_command_uses_more_time_than_an_idle_one() {
        let busy = Running::start(Command::new("sh").args(["-c", "while :; do :; done"]));
        let idle = Running::start(Command::new("sleep").arg("100"));
        thread::sleep(Duration::from_millis(500));
        assert!(cpu_ticks(busy.id()) > cpu_ticks(idle.id()));
        for running in [busy, idle] {
            let _ = running.kill();
        }
    }
}
