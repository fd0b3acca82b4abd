//! Refusals, each with its position and a message that names the faulty part.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod addresses;
#[path = "../common/mod.rs"]
mod common;
mod controllers;
mod disks;
mod guest;
mod helpers;
mod hostdevs;
mod ids;
mod iommus;
mod text;
