//! The command `passthru`.
fn main() {}
