//! The commands, each in a file or folder with its arguments and one function.

mod backend_argument;
mod bind;
mod command;
mod completions;
mod control;
mod convert;
mod device_argument;
mod firmware_argument;
mod forget;
mod format;
mod list;
mod man;
mod recover;
mod run;
mod unbind;
mod validate;

pub(crate) use command::{Command, run};
