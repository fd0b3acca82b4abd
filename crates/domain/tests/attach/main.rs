//! Devices that are plugged into a running guest, and taken out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;

mod documents;
mod helpers;
mod media;
mod mixes;
mod ports;
mod unplugged;
