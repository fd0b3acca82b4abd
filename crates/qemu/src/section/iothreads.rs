//! `<iothreads>`: threads that serve disks, and the emulator's main loop.

use passthru_domain::device::disk::{QueueThread, QueueThreads};
use passthru_domain::iothreads::Iothread;

use crate::context::Context;
use crate::error::Error;
use crate::line::{Object, Opt, Term};

pub(crate) fn options(context: &Context<'_>) -> Result<Vec<Opt>, Error> {
    let main = context.domain.default_iothread.as_ref().map(|main| {
        let object = Object::qom("main-loop", "main-loop")
            .maybe("thread-pool-min", main.thread_pool_min)
            .maybe("thread-pool-max", main.thread_pool_max);
        Opt::object(object)
    });
    let threads = context
        .domain
        .iothreadids
        .iter()
        .flat_map(|ids| &ids.iothreads);
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

/// Returns the id of a thread.
pub(crate) fn id(number: u32) -> String {
    format!("iothread{number}")
}

/// Returns the map from threads to a device's queues (`iothread-vq-mapping`).
pub(crate) fn mapping(threads: &QueueThreads) -> Term {
    Term::Array(threads.iothreads.iter().map(queue_thread).collect())
}

fn queue_thread(thread: &QueueThread) -> Term {
    let queues: Vec<Term> = thread.queues.iter().map(|queue| (*queue).into()).collect();
    let queues = (!queues.is_empty()).then_some(Term::Array(queues));
    let object = Object::default().with("iothread", id(thread.id));
    object.maybe("vqs", queues).into()
}
