//! The limit on locked memory, as it applies to an unprivileged user.
#![allow(clippy::expect_used, reason = "a helper of tests")]

use std::thread;

use rustix::process::{Resource, Rlimit, Uid, getrlimit, setrlimit};

use crate::VirtualHost;

/// Runs `work` in an unprivileged thread with this limit on locked and pinned memory, in bytes
/// (`RLIMIT_MEMLOCK`).
///
/// The limit applies to the whole process, and is restored afterwards.
pub fn within_memlock<T: Send>(_: VirtualHost, limit: u64, work: impl FnOnce() -> T + Send) -> T {
    let former = getrlimit(Resource::Memlock);
    let limit = Rlimit {
        current: Some(limit),
        maximum: former.maximum.map(|most| most.max(limit)),
    };
    setrlimit(Resource::Memlock, limit).expect("root may set limits");
    let result = thread::scope(|scope| {
        let unprivileged = scope.spawn(|| {
            // Affects this thread and the threads that it starts.
            rustix::thread::set_thread_uid(Uid::from_raw(65534)).expect("root may be anyone");
            work()
        });
        unprivileged.join()
    });
    setrlimit(Resource::Memlock, former).expect("root may set limits");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
