//! Development tasks, run as `cargo xtask …`: checks, tests, benches, the demonstration and the
//! virtual host.
//!
//! Users do not install this program.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod bench;
mod cargo;
mod check;
mod demo;
mod docs;
mod fuzz;
mod lab;
mod picture;
mod style;
mod test;

use std::process::ExitCode;

use clap::Parser;

/// Exit code of a task that failed itself, as opposed to the command that it ran.
const FAILED: u8 = 125;

/// Development tasks of passthru.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 110)]
enum Task {
    /// Set up the virtual host, run commands and tests on it
    #[command(subcommand)]
    Lab(lab::Task),
    /// Check formatting, style, lints (of the lab's tests too) and documentation
    Check,
    /// Measure, and write the results to docs/benchmarks.md
    #[command(subcommand)]
    Bench(bench::Task),
    /// Run one fuzz target for a while, or all of them with their seeds only
    Fuzz(fuzz::Args),
    /// Write the reference of the domain XML anew, from the code
    Docs,
    /// Measure how the sources read
    Style(style::Args),
    /// Run all tests: the plain ones of the workspace, then those on the virtual host
    Test(test::Args),
    /// Show a guest that uses a device of its (virtual) host
    Demo(demo::Args),
    /// Make docs/passthru.svg, the picture in README.md, from commands run on the virtual host
    Picture(picture::Args),
}

fn main() -> ExitCode {
    let code = match Task::parse() {
        Task::Lab(task) => lab::execute(&task),
        Task::Bench(task) => bench::execute(&task),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Docs => docs::run(),
        Task::Check => check::run(),
        Task::Style(args) => style::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Picture(args) => picture::run(&args),
    };
    code.map_or_else(
        |error| {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        },
        ExitCode::from,
    )
}
