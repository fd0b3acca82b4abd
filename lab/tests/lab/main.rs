//! Tests on the virtual host: `cargo xtask lab test`.

mod guest;
mod machine;
