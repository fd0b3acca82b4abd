//! The loop that stays with a guest until its VMM has ended.

mod change;
mod console;
mod foreground;
mod info;
mod poll_set;
mod qmp_rule;
mod requests;
mod supervisor;
mod waiting;

pub use console::open_console;
pub use foreground::Foreground;
pub use supervisor::{Explain, Settings, Supervisor};
