//! Several threads that do the same at the same time.

use std::panic::resume_unwind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Has so many threads work, each told which one it is. Returns the time from when the first began
/// until the last one ended.
pub(crate) fn together(
    threads: usize,
    work: impl Fn(usize) -> Result<()> + Sync,
) -> Result<Duration> {
    let barrier = Barrier::new(threads);
    let timed = |which| {
        barrier.wait();
        let begin = Instant::now();
        work(which).map(|()| (begin, Instant::now()))
    };
    thread::scope(|scope| {
        let timed = &timed;
        let others: Vec<_> = (1..threads)
            .map(|which| scope.spawn(move || timed(which)))
            .collect();
        let (mut begin, mut end) = timed(0)?;
        for other in others {
            let times = other.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            (begin, end) = (begin.min(times.0), end.max(times.1));
        }
        Ok(end - begin)
    })
}

/// Pieces that several threads take, one after the other.
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

    /// Does something with where each piece starts that is left, and that no other thread takes.
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
            let (queue, seen) = (Queue::new(1000, 10), Mutex::new(Vec::new()));
            let take = |at| {
                seen.lock().unwrap().push(at);
                Ok(())
            };
            together(threads, |_| queue.each(take)).unwrap();
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
