//! `passthru run`: a guest in the foreground, from its XML to its devices given back.

mod console;
mod foreground;
mod notices;
mod screen;
mod terminal;

use super::convert::finish;
use crate::config::Config;
use crate::emulator;
use crate::error::Error;
use crate::exit::Code;
use crate::guest;
use crate::hint::host_hint;
use crate::message::{self, say};
use crate::output;
use crate::signals::Signals;
use crate::source::Source;
use console::Console;
use notices::Notices;
use passthru_domain::{Backend, Domain, IdSet};
use passthru_guest::{
    Ended, Error as GuestError, Guest, NamedFds, RECORD_DIR, RecordError, Records, StartPlan,
    StartSettings, User, check, start, start_notes,
};
use passthru_host::{Error as HostError, Host};
use passthru_qemu::Capabilities;
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The domain XML; `-` reads standard input
    file: PathBuf,
    /// Show the steps of a run without doing them
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// With --dry-run: print the steps as JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
    /// User that the VMM runs as [default: the configuration file's, else one of the guest's own]
    ///
    /// Never root or nobody. Each guest's own user has a number of the configured range, and no
    /// name. It belongs to the guest until `passthru forget`. Without root, a guest without devices
    /// runs as the caller.
    #[arg(long, value_name = "NAME|UID")]
    user: Option<String>,
    /// Run the guest as a user that another guest has; the two can then reach each other's memory
    #[arg(long)]
    share_user: bool,
    /// Give the guest a device that is not the one that it had at this address
    #[arg(long)]
    accept_new_device: bool,
    /// Backend of the devices whose XML names none
    #[arg(long, value_enum, default_value_t = Policy::Auto)]
    backend: Policy,
    /// Pass the open descriptor N to the domain as fdgroup NAME; may be repeated
    #[arg(long, value_name = "NAME=N", value_parser = named_fd)]
    fd: Vec<(String, RawFd)>,
    /// Seconds that the guest has to power off after Ctrl-C or SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=86400))]
    stop_timeout: u64,
    /// Keep the guest's console off the terminal
    #[arg(long)]
    no_console: bool,
    /// Pass Ctrl-C to the guest's console; Ctrl-] ends the guest
    #[arg(long)]
    raw_console: bool,
    /// Configuration file to read instead of /etc/passthru/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which backend devices get that say nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Policy {
    /// iommufd if the kernel and QEMU have it; else type1, which `run` refuses so far
    Auto,
    /// /dev/iommu, with a character device for each VFIO device
    Iommufd,
    /// VFIO's groups and containers; `run` refuses it so far
    Type1,
}

/// Number of starts that may lose their user id to another guest's, each of which takes another id.
const TRIES: usize = 16;

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let signals = Signals::ending()?;
    let source = Source::read(&args.file)?;
    let config = Config::read(args.config.as_deref())?;
    let host = super::host();
    let mut notices = Notices::default();
    if args.dry_run {
        let plan = plan(args, &source, &config, &host, &mut notices)?;
        return dry_run(args, &plan, &host, &mut notices);
    }
    let mut tries = 1;
    loop {
        // Until the start, a signal ends the process: a QEMU may take long to say what it has.
        let plan = plan(args, &source, &config, &host, &mut notices)?;
        show_notes(&plan, &host, &mut notices)?;
        signals.keep();
        message::stop_waiting();
        match start(plan, &host, &|| signals.taken() > 0) {
            Ok(guest) => return attend(args, guest, &signals),
            Err(GuestError::Record(RecordError::UidTaken { .. })) if tries < TRIES => tries += 1,
            Err(error) => return Err(guest::error(error)),
        }
        if signals.end_again() {
            return Err(guest::error(GuestError::Interrupted));
        }
    }
}

fn plan(
    args: &Args,
    source: &Source,
    config: &Config,
    host: &Host,
    notices: &mut Notices,
) -> Result<StartPlan, Error> {
    let domain = source.parse()?;
    let name = domain.name.as_deref().unwrap_or_default();
    let user = guest::user(args.user.as_deref(), config, name, host)?;
    let capabilities = emulator::probe(&domain, None, &user)?.with_nodes(nodes(host));
    let backend = backend(args.backend, &domain, host, &capabilities, notices)?;
    let domain = finish(domain, source, &capabilities, backend)?;
    capabilities.check(&domain).map_err(|e| source.error(e))?;
    let settings = StartSettings {
        user,
        named: named_fds(args)?,
        run_dir: guest::run_dir(),
        records: Records::new(RECORD_DIR),
        share_user: args.share_user,
        accept_new_device: args.accept_new_device,
    };
    StartPlan::new(domain, &capabilities, settings).map_err(guest::error)
}

fn show_notes(plan: &StartPlan, host: &Host, notices: &mut Notices) -> Result<(), Error> {
    for note in start_notes(plan, host).map_err(guest::error)? {
        notices.say(format!("note: {note}"));
    }
    Ok(())
}

/// The host's NUMA nodes with their CPUs; a node without CPUs has none to run on.
fn nodes(host: &Host) -> Vec<(u32, IdSet)> {
    host.nodes()
        .into_iter()
        .filter_map(|(node, cpus)| Some((node, cpus.parse().ok()?)))
        .collect()
}

/// From the start of the guest to its end, with its console on the terminal.
fn attend(args: &Args, mut guest: Guest, signals: &Signals) -> Result<ExitCode, Error> {
    let console = connect(args, &guest);
    if let Err(error) = guest.resume(&|| signals.taken() > 0) {
        drop(console);
        say!("passthru: {error}; ending the VMM");
        let ended = guest.end();
        report(&ended);
        return if ended.not_restored.is_empty() {
            Err(guest::error(error))
        } else {
            Ok(Code::NotRestored.into())
        };
    }
    if console.as_ref().is_some_and(Console::on_terminal) {
        let keys = if args.raw_console {
            "Ctrl-] ends the guest"
        } else {
            "Ctrl-C or Ctrl-] ends the guest"
        };
        say!(
            "passthru: guest '{}' runs, its console is on this terminal; {keys}",
            guest.name()
        );
    }
    foreground::stay(
        &mut guest,
        signals,
        console,
        Duration::from_secs(args.stop_timeout),
    );
    result(&guest.finish())
}

fn connect(args: &Args, guest: &Guest) -> Option<Console> {
    let path = guest.console().filter(|_| !args.no_console)?;
    match Console::connect(path, guest.uid(), args.raw_console) {
        Ok(console) => Some(console),
        Err(e) => {
            tracing::warn!("cannot show the guest's console {}: {e}", path.display());
            None
        }
    }
}

/// Says which devices are not back.
fn report(ended: &Ended) {
    for error in &ended.not_restored {
        Error::new(Code::NotRestored, error.to_string())
            .hint(host_hint(error))
            .print();
    }
}

/// A guest that ended well has exit code 0, also when it was asked to.
fn result(ended: &Ended) -> Result<ExitCode, Error> {
    report(ended);
    match (ended.status, ended.not_restored.is_empty()) {
        (_, false) => Ok(Code::NotRestored.into()),
        (Some(status), true) if !status.success() => {
            let error = format!("the VMM ended with {status}");
            let said = ended
                .messages
                .lines()
                .last()
                .map(|line| format!("its last message: {line}"));
            Err(Error::new(Code::Guest, error).hint(ended.hint.clone().or(said)))
        }
        (None, true) => Err(Error::new(
            Code::Guest,
            "cannot determine how the VMM ended",
        )),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn dry_run(
    args: &Args,
    plan: &StartPlan,
    host: &Host,
    notices: &mut Notices,
) -> Result<ExitCode, Error> {
    let steps = plan.steps(host).map_err(guest::error)?;
    let text = if args.json {
        format!("{:#}\n", serde_json::json!({ "steps": steps }))
    } else {
        let lines = steps
            .iter()
            .enumerate()
            .map(|(n, step)| format!("{:2}. {step}\n", n + 1));
        lines
            .chain([format!("\nThe command:\n{}", plan.command())])
            .collect()
    };
    output::print(&text)?;
    show_notes(plan, host, notices)?;
    match check(plan, host) {
        // A dry run needs no root, who alone can see all uses; a start refuses then.
        Err(GuestError::Host(unseen)) if User::caller().is_some() && only_unseen(&unseen) => {
            say!("note: {unseen}");
            Ok(ExitCode::SUCCESS)
        }
        checked => checked.map(|()| ExitCode::SUCCESS).map_err(guest::error),
    }
}

/// Returns whether all that is wrong is that uses could not be looked at.
fn only_unseen(error: &HostError) -> bool {
    match error {
        HostError::UsageUnknown { .. } => true,
        HostError::Several(errors) => errors.iter().all(only_unseen),
        _ => false,
    }
}

/// Chooses the backend of the devices that say nothing, and says which one and why where there are
/// any.
fn backend(
    policy: Policy,
    domain: &Domain,
    host: &Host,
    capabilities: &Capabilities,
    notices: &mut Notices,
) -> Result<Backend, Error> {
    let unsaid = domain
        .devices
        .assigned()
        .any(|hostdev| hostdev.is_vfio() && domain.backend(hostdev).is_none());
    let lack = host.capabilities().lack();
    let (backend, why) = match (policy, &lack) {
        (Policy::Iommufd, _) => (Backend::Iommufd, "as requested".to_owned()),
        (Policy::Type1, _) => (Backend::Type1, "as requested".to_owned()),
        (Policy::Auto, Some(lack)) => (Backend::Type1, lack.to_string()),
        (Policy::Auto, None) if !capabilities.has_iommufd() => (
            Backend::Type1,
            format!(
                "QEMU {} has no iommufd (8.2 and later have)",
                capabilities.version()
            ),
        ),
        (Policy::Auto, None) => (Backend::Iommufd, "kernel and QEMU have it".to_owned()),
    };
    if unsaid && backend == Backend::Type1 {
        let error = format!(
            "devices that name no backend would get type1 ({why}), which `run` does not support yet"
        );
        return Err(Error::new(Code::Host, error).hint(lack.as_ref().and_then(host_hint)));
    }
    if unsaid {
        let backend = backend.as_str();
        notices.say(format!(
            "passthru: backend {backend} for the devices that name none: {why}"
        ));
    }
    Ok(backend)
}

fn named_fd(text: &str) -> Result<(String, RawFd), String> {
    let (name, number) = text.split_once('=').ok_or("expected NAME=N")?;
    let number = number
        .parse()
        .ok()
        .filter(|n| *n >= 0)
        .ok_or("N must be the number of an open descriptor")?;
    if name.is_empty() {
        Err("the name is empty".into())
    } else {
        Ok((name.into(), number))
    }
}

/// Descriptors by name: those of `--fd`, and those of a service manager (`sd_listen_fds(3)`).
fn named_fds(args: &Args) -> Result<NamedFds, Error> {
    let mut named = BTreeMap::new();
    for (name, number) in listen_fds().into_iter().chain(args.fd.iter().cloned()) {
        if let Some(other) = named
            .insert(name.clone(), number)
            .filter(|other| *other != number)
        {
            let error = format!("two descriptors have the name '{name}': {other} and {number}");
            return Err(Error::new(Code::Usage, error));
        }
    }
    Ok(named)
}

/// Descriptors from 3 up that have names, where they were meant for this process.
fn listen_fds() -> Vec<(String, RawFd)> {
    const FIRST: RawFd = 3;
    let variable = |name| std::env::var(name).unwrap_or_default();
    if variable("LISTEN_PID").parse() != Ok(std::process::id()) {
        return Vec::new();
    }
    let count: RawFd = variable("LISTEN_FDS").parse().unwrap_or(0);
    let names = variable("LISTEN_FDNAMES");
    let named = names
        .split(':')
        .map(String::from)
        .zip(FIRST..FIRST.saturating_add(count));
    named
        .filter(|(name, _)| !matches!(name.as_str(), "" | "unknown" | "stored"))
        .collect()
}
