//! Memory, NUMA cells and memory devices: defaults and refusals, with their positions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;
mod devices;
mod helpers;
mod numa;
mod sizes;
