//! Work on the host's devices that may wait for the kernel, in a thread of its own.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use passthru_host::Assignment;

use crate::error::Error;

/// Work of a job. It gets the devices of the transaction.
pub(super) type Work = Box<dyn FnOnce(&mut Option<Assignment>) -> Result<(), Error> + Send>;

/// Work that runs in a thread. A drop waits for its end.
pub(super) struct Job {
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

/// Devices of the transaction, and the result of the work.
#[derive(Default)]
struct Shared {
    devices: Option<Assignment>,
    result: Option<Result<(), Error>>,
}

impl Job {
    /// Begins work on the devices of a transaction, which [`Job::finish`] puts back.
    ///
    /// # Errors
    /// If no thread can be made, then the kernel's error. The devices stay where they are.
    pub(super) fn start(devices: &mut Option<Assignment>, work: Work) -> io::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared {
            devices: devices.take(),
            result: None,
        }));
        let theirs = Arc::clone(&shared);
        let builder = std::thread::Builder::new().name("devices".into());
        let spawned = builder.spawn(move || {
            // If the work panics, the devices stay in the poisoned lock.
            let mut shared = theirs.lock().unwrap_or_else(PoisonError::into_inner);
            let result = work(&mut shared.devices);
            shared.result = Some(result);
        });
        match spawned {
            Ok(thread) => Ok(Self {
                shared,
                thread: Some(thread),
            }),
            Err(error) => {
                *devices = locked(&shared).devices.take();
                Err(error)
            }
        }
    }

    /// Returns whether the work is over.
    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end of the work, puts the devices back, and returns the work's result; `None`
    /// if it panicked.
    pub(super) fn finish(mut self, devices: &mut Option<Assignment>) -> Option<Result<(), Error>> {
        self.join();
        let mut shared = locked(&self.shared);
        *devices = shared.devices.take();
        shared.result.take()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic shows in the missing result.
            let _ = thread.join();
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.join();
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}

fn locked(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use passthru_host::Host;

    use super::*;

    #[test]
    fn devices_come_back_from_work_that_panics() {
        let begun = Host::new().begin_assignment(&[], Some("vm"), false);
        let mut devices = Some(begun.unwrap());
        let work: Work = Box::new(|_| std::panic::resume_unwind(Box::new(())));
        let job = Job::start(&mut devices, work).unwrap();

        assert!(devices.is_none());
        assert!(job.finish(&mut devices).is_none());
        assert!(devices.is_some());
    }

    #[test]
    fn result_of_the_work_is_returned() {
        let work: Work = Box::new(|_| Err(Error::Interrupted));
        let job = Job::start(&mut None, work).unwrap();
        let result = job.finish(&mut None);
        assert!(matches!(result, Some(Err(Error::Interrupted))));
    }
}
