//! Threads that do the same work at the same time.

use std::panic::resume_unwind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Runs `work` on this number of threads, with the index of each. Returns the time from the first
/// begin to the last end.
pub(crate) fn together(
    threads: usize,
    work: impl Fn(usize) -> Result<()> + Sync,
) -> Result<Duration> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let barrier = &barrier;
        let work = &work;
        let others: Vec<_> = (1..threads)
            .map(|which| scope.spawn(move || time_after(barrier, which, work)))
            .collect();
        let (mut begin, mut end) = time_after(barrier, 0, work)?;
        for other in others {
            let times = other.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            begin = begin.min(times.0);
            end = end.max(times.1);
        }
        Ok(end - begin)
    })
}

/// Waits for the other threads, and returns begin and end of the work.
fn time_after(
    barrier: &Barrier,
    which: usize,
    work: impl Fn(usize) -> Result<()>,
) -> Result<(Instant, Instant)> {
    barrier.wait();
    let begin = Instant::now();
    work(which)?;
    Ok((begin, Instant::now()))
}

/// A range cut into pieces, which threads take one by one.
pub(crate) struct Queue {
    length: u64,
    piece: u64,
    next: AtomicU64,
}

impl Queue {
    pub(crate) fn new(length: u64, piece: u64) -> Self {
        Self {
            length,
            piece,
            next: AtomicU64::new(0),
        }
    }

    /// Calls `work` with the start of each piece that no other thread has taken.
    pub(crate) fn each(&self, mut work: impl FnMut(u64) -> Result<()>) -> Result<()> {
        loop {
            let at = self.next.fetch_add(self.piece, Ordering::Relaxed);
            if at >= self.length {
                return Ok(());
            }
            work(at)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn each_chunk_is_taken_by_one_thread() {
        for threads in [1, 3] {
            let queue = Queue::new(1000, 10);
            let seen = Mutex::new(Vec::new());
            together(threads, |_| {
                queue.each(|at| {
                    seen.lock().unwrap().push(at);
                    Ok(())
                })
            })
            .unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort();
            assert_eq!(seen, Vec::from_iter((0..1000).step_by(10)), "{threads}");
        }
    }

    #[test]
    fn failure_of_a_thread_is_returned() {
        let result = together(3, |which| {
            if which == 2 {
                Err(anyhow::anyhow!("no"))
            } else {
                Ok(())
            }
        });
        assert_eq!(result.unwrap_err().to_string(), "no");
    }
}
