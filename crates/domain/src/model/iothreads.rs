//! `<iothreads>`, `<iothreadids>`, `<defaultiothread>`: threads that serve disks.

use crate::xml::span::SourceSpan;
use crate::xml::{Element, Visitor};

/// `<iothreadids>`: the threads by their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Iothreadids {
    /// The threads. `complete` adds those that `<iothreads>` counts and nobody names.
    pub iothreads: Vec<Iothread>,
}

/// `<iothread>` of `<iothreadids>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Iothread {
    /// Where the element stands.
    pub span: SourceSpan,
    /// Its id, from 1.
    pub id: u32,
    /// Fewest helpers that it keeps.
    pub thread_pool_min: Option<u32>,
    /// Most helpers that it has.
    pub thread_pool_max: Option<u32>,
    /// How it polls.
    pub poll: Option<IothreadPoll>,
    /// Whether it is only counted by `<iothreads>`, and was named by `complete`.
    pub is_implied: bool,
}

impl Iothreadids {
    /// Whether no thread is named by the user.
    pub(crate) fn is_implied(&self) -> bool {
        self.iothreads.iter().all(|thread| thread.is_implied)
    }
}

/// `<poll>`: for how long a thread looks for work before it sleeps, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IothreadPoll {
    /// At most.
    pub max: Option<u64>,
    /// By which factor the time grows.
    pub grow: Option<u64>,
    /// By which factor it shrinks.
    pub shrink: Option<u64>,
}

/// `<defaultiothread>`: the thread of the emulator itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DefaultIothread {
    /// Fewest helpers that it keeps.
    pub thread_pool_min: Option<u32>,
    /// Most helpers that it has.
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
