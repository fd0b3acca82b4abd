//! [`GuestManager`]: a program under test that started QEMU.

use std::fs;
use std::io::{Write, stderr};
use std::process::exit;
use std::time::Duration;

use crate::load::{cpu_ticks, describe_load};

/// Exit status of a test program in which a guest got stuck. `cargo xtask lab test` then boots the
/// virtual host again.
pub const STUCK_GUEST: u8 = 86;

/// A program that started QEMU, by its process id.
#[derive(Debug, Clone, Copy)]
pub struct GuestManager(pub u32);

impl GuestManager {
    /// Exits the test program with [`STUCK_GUEST`] if the program only waits for its QEMU.
    ///
    /// Call this when the guest has printed nothing for `limit`. The program waits if it has used
    /// no processor time for 5 s and QEMU is its child. A bug that makes every guest stuck is still
    /// found, since at most three boots end this way.
    pub fn exit_if_guest_is_stuck(self, limit: Duration) {
        if let Some(load) = self.guest_load_while_idle() {
            let _ = writeln!(
                stderr(),
                "lab: a guest of a program under test has printed nothing for {limit:?}, {load}"
            );
            exit(STUCK_GUEST.into())
        }
    }

    /// Returns the load of QEMU, or `None` if the program itself used processor time meanwhile.
    fn guest_load_while_idle(self) -> Option<String> {
        let qemu = self.child()?;
        let before = cpu_ticks(self.0)?;
        let load = describe_load(qemu);
        (cpu_ticks(self.0) == Some(before)).then_some(load)
    }

    /// Returns the first child of the program.
    #[must_use]
    pub fn child(self) -> Option<u32> {
        let parent = format!("PPid:\t{}", self.0);
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        processes.find(|pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line == parent)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::*;
    use crate::running::Running;

    #[test]
    fn guest_is_stuck_only_if_its_manager_is_idle() {
        for (script, waits) in [
            ("sleep 100 & wait", true),
            ("sleep 100 & while :; do :; done", false),
            ("exec sleep 100", false),
        ] {
            let manager = Running::start(Command::new("sh").args(["-c", script]));
            thread::sleep(Duration::from_millis(300));
            let process = GuestManager(manager.id());
            let child = process.child();
            assert_eq!(process.guest_load_while_idle().is_some(), waits, "{script}");
            let _ = child.map(|pid| Command::new("kill").arg(pid.to_string()).status());
            let _ = manager.kill();
        }
    }
}
