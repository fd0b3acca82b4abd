//! `passthru list`: the host's PCI devices, their usages, and whether a guest can have them.

mod args;
mod collect;
mod print;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use args::Args;
pub(crate) use print::run;
