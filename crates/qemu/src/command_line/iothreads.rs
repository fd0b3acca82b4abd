//! Threads that serve disks, and the emulator's own.

use super::opt::{Object, Opt};
use super::{Context, Error};
use passthru_domain::Iothread;

pub(super) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let main = context.domain.default_iothread.as_ref().map(|main| {
        let object = Object::qom("main-loop", "main-loop")
            .maybe("thread-pool-min", main.thread_pool_min)
            .maybe("thread-pool-max", main.thread_pool_max);
        Opt::object(object)
    });
    let threads = context.domain.iothreadids.iter().flat_map(|ids| &ids.iothreads);
    Ok(main.into_iter().chain(threads.map(thread)).collect())
}

fn thread(thread: &Iothread) -> Opt {
    let poll = thread.poll.clone().unwrap_or_default();
    let object = Object::qom("iothread", format!("iothread{}", thread.id))
        .maybe("thread-pool-min", thread.thread_pool_min)
        .maybe("thread-pool-max", thread.thread_pool_max)
        .maybe("poll-max-ns", poll.max)
        .maybe("poll-grow", poll.grow)
        .maybe("poll-shrink", poll.shrink);
    Opt::object(object)
}
