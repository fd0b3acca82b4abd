//! Options of single devices, as words of a whole command line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod devices;
mod disks;
mod environment;
mod helpers;
mod machine;
mod net;
mod screens;
