//! Tests on the virtual host: `cargo xtask lab test`.
mod host;
