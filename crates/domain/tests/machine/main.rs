//! CPUs, features, clock, firmware, I/O threads and launch security: defaults and refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;
mod cpus;
mod features;
mod firmware;
mod helpers;
mod threads;
