//! Commands for a guest that runs. They ask its supervisor.

pub(crate) mod console;
pub(crate) mod dumpxml;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod pause;
pub(crate) mod ps;
pub(crate) mod qmp;
pub(crate) mod reboot;
mod refusal;
mod request;
pub(crate) mod stop;

pub(crate) use request::GuestArgs;
