//! Devices that are plugged into a running guest, and taken out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod documents;
