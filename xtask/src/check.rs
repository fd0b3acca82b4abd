//! `cargo xtask check`: what must hold before a commit, tests aside.

use anyhow::Result;

use crate::cargo::{cargo, succeed};
use crate::docs;
use crate::style;

pub(crate) fn run() -> Result<u8> {
    succeed(&mut cargo(&["fmt", "--all", "--check"]))?;
    style::check()?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ];
    succeed(&mut cargo(&clippy))?;
    let mut docs = cargo(&["doc", "--workspace", "--no-deps"]);
    succeed(docs.env("RUSTDOCFLAGS", "-D warnings"))?;
    docs::check()?;
    Ok(0)
}
