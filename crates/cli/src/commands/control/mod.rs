//! Commands for a guest that runs. They ask its supervisor.

pub(crate) mod attach;
pub(crate) mod console;
pub(crate) mod detach;
pub(crate) mod dumpxml;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod logs;
pub(crate) mod pause;
mod progress;
pub(crate) mod ps;
pub(crate) mod qmp;
pub(crate) mod reboot;
mod refusal;
mod request;
pub(crate) mod stop;

pub(crate) use refusal::guest_message;
pub(crate) use request::GuestArgs;
