//! What the kernel answers, on the virtual host: `cargo xtask lab test`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod device;
