//! [`for_each_parallel`]: work on a list from several threads.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{RwLock, mpsc};
use std::thread;

/// A list of items that several threads work off.
struct Queue<'a, T> {
    items: &'a [T],
    next: AtomicUsize,
}

impl<T> Queue<'_, T> {
    /// Takes one item after the other, until none is left or `work` returns `Break`.
    fn work_off(&self, work: &impl Fn(&T) -> ControlFlow<()>) {
        while let Some(item) = self.items.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if work(item).is_break() {
                self.next.store(self.items.len(), Ordering::Relaxed);
            }
        }
    }
}

/// Calls `work` for each item, from up to `threads` threads, until a call returns `Break`.
///
/// The work begins once all threads have started. A starting thread changes the process's memory
/// map (for its stack), so that it would wait for threads that populate memory.
pub(super) fn for_each_parallel<T: Sync>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> ControlFlow<()> + Sync,
) {
    let queue = Queue {
        items,
        next: AtomicUsize::new(0),
    };
    let gate = RwLock::new(());
    thread::scope(|scope| {
        let closed = gate.write();
        let (starting, all_started) = mpsc::channel::<()>();
        for _ in 1..threads.min(items.len()) {
            let starting = starting.clone();
            let gate = &gate;
            let queue = &queue;
            let work = &work;
            // If no thread can be started, the others do the work.
            let _ = thread::Builder::new()
                .name("dma-map".into())
                .spawn_scoped(scope, move || {
                    drop(starting);
                    drop(gate.read());
                    queue.work_off(work);
                });
        }
        drop(starting);
        // No message is sent: recv returns once every thread has dropped its sender.
        let _ = all_started.recv();
        drop(closed);
        queue.work_off(&work);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_do_each_item_once() {
        for threads in [1, 2, 7] {
            let items: Vec<_> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
            for_each_parallel(threads, &items, |item| {
                item.fetch_add(1, Ordering::Relaxed);
                ControlFlow::Continue(())
            });
            let all_once = items.iter().all(|item| item.load(Ordering::Relaxed) == 1);
            assert!(all_once, "{threads}");
        }
    }

    #[test]
    fn workers_stop_after_break() {
        for threads in [1, 4] {
            let begun = AtomicUsize::new(0);
            for_each_parallel(threads, &[(); 1000], |()| {
                begun.fetch_add(1, Ordering::Relaxed);
                ControlFlow::Break(())
            });
            assert!(begun.load(Ordering::Relaxed) <= threads, "{begun:?}");
        }
    }
}
