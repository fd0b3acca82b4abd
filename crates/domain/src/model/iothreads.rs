//! `<iothreads>`, `<iothreadids>`, `<defaultiothread>`: threads for disk I/O.

use crate::xml::span::SourceSpan;
use crate::xml::{Element, Visitor};

/// `<iothreadids>`: I/O threads by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Iothreadids {
    /// The threads. `complete` adds the threads that `<iothreads>` counts without an id.
    pub iothreads: Vec<Iothread>,
}

/// `<iothread>` of `<iothreadids>`: one I/O thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Iothread {
    /// Source position of the element.
    pub span: SourceSpan,
    /// Id of the thread, from 1.
    pub id: u32,
    /// Smallest number of worker threads.
    pub thread_pool_min: Option<u32>,
    /// Largest number of worker threads.
    pub thread_pool_max: Option<u32>,
    /// Polling of the thread.
    pub poll: Option<IothreadPoll>,
    /// True if `complete` added the thread, since only `<iothreads>` counts it.
    pub is_implied: bool,
}

impl Iothreadids {
    /// Returns whether the user gave no thread an id.
    pub(crate) fn is_implied(&self) -> bool {
        self.iothreads.iter().all(|thread| thread.is_implied)
    }
}

/// `<poll>`: polling for work before a thread sleeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IothreadPoll {
    /// Longest polling time in nanoseconds.
    pub max: Option<u64>,
    /// Factor by which the polling time grows.
    pub grow: Option<u64>,
    /// Factor by which the polling time shrinks.
    pub shrink: Option<u64>,
}

/// `<defaultiothread>`: the main thread of the emulator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DefaultIothread {
    /// Smallest number of worker threads.
    pub thread_pool_min: Option<u32>,
    /// Largest number of worker threads.
    pub thread_pool_max: Option<u32>,
}

impl Element for Iothreadids {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.children("iothread", &mut self.iothreads);
    }
}

impl Element for Iothread {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.span(&mut self.span);
        v.required("id", &mut self.id);
        v.attr("thread_pool_min", &mut self.thread_pool_min);
        v.attr("thread_pool_max", &mut self.thread_pool_max);
        v.child("poll", &mut self.poll);
        if v.reading() && self.id == 0 {
            v.error("'id' of <iothread> must be 1 or more".into());
        }
        check_pool(v, self.thread_pool_min, self.thread_pool_max);
    }
}

impl Element for IothreadPoll {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("max", &mut self.max);
        v.attr("grow", &mut self.grow);
        v.attr("shrink", &mut self.shrink);
    }
}

impl Element for DefaultIothread {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.attr("thread_pool_min", &mut self.thread_pool_min);
        v.attr("thread_pool_max", &mut self.thread_pool_max);
        check_pool(v, self.thread_pool_min, self.thread_pool_max);
    }
}

fn check_pool(v: &mut dyn Visitor, min: Option<u32>, max: Option<u32>) {
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        v.error(format!(
            "'thread_pool_min' ({min}) is more than 'thread_pool_max' ({max})"
        ));
    }
}
