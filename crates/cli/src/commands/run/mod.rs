//! `passthru run`: a guest in the foreground, from its XML to its devices given back.

mod adopting;
mod args;
mod attend;
mod backend;
mod console;
mod console_mode;
mod detach;
mod dry_run;
mod foreground;
mod named_fds;
mod notices;
mod output_buffer;
mod planning;
mod session;

pub(crate) use adopting::{SuperviseArgs, start_supervisor, supervise};
pub(crate) use args::Args;
pub(crate) use session::run;

pub(crate) use console::{Console, ConsoleInput};
pub(crate) use output_buffer::OutputBuffer;
