//! `cargo xtask docs`: the reference of the domain XML, made by an example of the crate `domain`.

use anyhow::Result;

use crate::cargo::{cargo, succeed};

/// Writes the reference anew.
pub(crate) fn run() -> Result<u8> {
    make("write")?;
    Ok(0)
}

/// Fails if the reference is not what the code says.
pub(crate) fn check() -> Result<()> {
    make("check")
}

fn make(verb: &str) -> Result<()> {
    succeed(&mut cargo(&[
        "run",
        "--quiet",
        "--package=passthru-domain",
        "--example=xml-docs",
        "--",
        verb,
    ]))
}
