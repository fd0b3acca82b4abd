//! Emulated devices: defaults, addresses and refusals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;
mod defaults;
mod helpers;
mod notes;
mod refusals;
mod screens;
