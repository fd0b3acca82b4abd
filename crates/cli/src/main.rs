//! The command `passthru`: arguments, output, exit codes, and nothing else. What it does is in the
//! crates that it calls.
#![forbid(unsafe_code)]

mod commands;
mod config;
mod diagnostics;
mod emulator;
mod error;
mod exit;
mod guest;
mod output;
mod signals;
mod source;
mod terminal;

use clap::{Args, Parser};
use std::process::ExitCode;

/// Hands a host's PCI devices to virtual machines, through Linux iommufd.
#[derive(Parser)]
#[command(name = "passthru", version = env!("PASSTHRU_VERSION"), propagate_version = true, after_help = exit::HELP)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: commands::Command,
}

/// What every command takes.
#[derive(Args)]
struct Global {
    /// Log more; give it twice to log every step
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log(arguments.global.verbose);
    match commands::run(&arguments.command) {
        Ok(code) => code,
        Err(error) => {
            error.print();
            error.code().into()
        }
    }
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(terminal::colour())
        .with_target(verbose > 1)
        .without_time()
        .init();
}
