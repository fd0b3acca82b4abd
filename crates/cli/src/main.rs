//! The command `passthru`: arguments, output, hints and exit codes. The crates that it calls do the
//! work.
#![forbid(unsafe_code)]

mod access;
mod commands;
mod config;
mod diagnostics;
mod document;
mod emulator;
mod error;
mod exit;
mod firmware;
mod folder;
mod hint;
mod host;
mod input;
mod message;
mod output;
mod service;
mod signals;
mod table;
mod terminal;
mod units;
mod user;

use std::io::ErrorKind;
use std::panic;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser};
use exit::Code;
use message::say;

/// Hands a host's PCI devices to virtual machines, through Linux iommufd.
#[derive(Parser)]
#[command(
    name = "passthru",
    version = env!("PASSTHRU_VERSION"),
    propagate_version = true,
    after_help = exit::HELP
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: commands::Command,
}

/// Arguments of every command.
#[derive(Args)]
struct Global {
    /// Log more; give it twice to log every step
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

fn main() -> ExitCode {
    let code = match Arguments::try_parse() {
        Ok(arguments) => run(&arguments),
        Err(answer) => show(&answer),
    };
    message::flush();
    code
}

/// Prints clap's answer: an error, help or the version. Help and version are not errors.
fn show(answer: &clap::Error) -> ExitCode {
    let is_error = answer.use_stderr();
    match answer.print() {
        // A failure to print an error is ignored. A failure to print help is a failure.
        Err(e) if !is_error && e.kind() != ErrorKind::BrokenPipe => Code::Failure.into(),
        _ if is_error => Code::Usage.into(),
        _ => ExitCode::SUCCESS,
    }
}

fn run(arguments: &Arguments) -> ExitCode {
    log(arguments.global.verbose);
    panic::set_hook(Box::new(|info| {
        say!("passthru: a fault of this program: {info}");
    }));
    // If a guest runs, the unwinding ends it in order.
    match panic::catch_unwind(|| commands::run(&arguments.command, Arguments::command)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            error.print();
            error.code().into()
        }
        Err(_) => Code::Failure.into(),
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
        .with_writer(message::Log)
        .log_internal_errors(false)
        .with_ansi(terminal::colour())
        .with_target(verbose > 1)
        .without_time()
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_the_exit_codes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made/by/us");
        let words = ["passthru".as_ref(), "man".as_ref(), folder.as_os_str()];
        let arguments = Arguments::try_parse_from(words).unwrap();
        commands::run(&arguments.command, Arguments::command).unwrap();
        let commands = Arguments::command();
        for command in commands.get_subcommands().filter(|c| !c.is_hide_set()) {
            let page = folder.join(format!("passthru-{}.1", command.get_name()));
            assert!(page.exists(), "{}", page.display());
        }

        let page = std::fs::read_to_string(folder.join("passthru.1")).unwrap();

        assert!(page.contains("Exit codes"), "{page}");
    }
}
