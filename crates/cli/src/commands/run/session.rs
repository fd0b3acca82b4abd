//! A run of a guest: the plan, the start, and the guest in the foreground.

use std::process::ExitCode;

use passthru_domain::IdSet;
use passthru_guest::{
    Error as GuestError, RECORD_DIR, RecordError, Records, StartPlan, StartSettings, start,
};
use passthru_host::Host;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::args::Args;
use super::attend::attend;
use super::backend::choose_backend;
use super::dry_run::dry_run;
use super::named_fds::{check_names, named_fds};
use super::notices::Notices;
use crate::commands::backend_argument::{BackendPolicy, check_disk_backend};
use crate::config::Config;
use crate::document::Document;
use crate::error::Error;
use crate::exit::Code;
use crate::firmware::{Firmwares, unseen_record_note};
use crate::folder::run_dir;
use crate::host::this_host;
use crate::signals::Signals;
use crate::user::choose_user;
use crate::{emulator, input, message};

/// Number of tries to start. A try fails if another guest takes the chosen user id; the next one
/// chooses another id.
const TRIES: usize = 16;

/// Runs a guest in the foreground.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    forbid_core_files();
    let signals = Signals::ending()?;
    let document = input::read(&args.file)?;
    let config = Config::read(args.config.as_deref())?;
    let host = this_host();
    let mut notices = Notices::default();
    if args.dry_run {
        let plan = plan(args, &document, &config, &host, &mut notices)?;
        return dry_run(args, &plan, &host, &mut notices);
    }

    let mut tries = 1;
    loop {
        // Until the start, a signal ends the process: a QEMU may take long to answer.
        let plan = plan(args, &document, &config, &host, &mut notices)?;
        notices.say_notes(&plan, &host);
        signals.hold();
        message::start_writer();
        match start(plan, &host, &|| signals.taken() > 0) {
            Ok(guest) => return attend(args, guest, &signals),
            Err(GuestError::Record(RecordError::UidTaken { .. })) if tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
        if signals.end_again() {
            return Err(GuestError::Interrupted.into());
        }
    }
}

/// Sets this process's soft `RLIMIT_CORE` to 0: a core file could hold the password of a screen.
fn forbid_core_files() {
    let limit = Rlimit {
        current: Some(0),
        ..getrlimit(Resource::Core)
    };
    if let Err(error) = setrlimit(Resource::Core, limit) {
        tracing::warn!("a crash can leave a core file: setrlimit: {error}");
    }
}

/// Plans the start of the domain in a document.
fn plan(
    args: &Args,
    document: &Document,
    config: &Config,
    host: &Host,
    notices: &mut Notices,
) -> Result<StartPlan, Error> {
    let named = named_fds(args)?;
    let domain = input::parse(document)?;
    let name = domain.name.as_deref().unwrap_or_default();
    let user = choose_user(args.user.as_deref(), config, name, host)?;
    let records = Records::new(RECORD_DIR);
    let firmwares = Firmwares::of_host(&domain, &records, &user)?;
    let unseen = args.dry_run.then(|| unseen_record_note(&domain)).flatten();
    for note in firmwares.notes.iter().map(String::as_str).chain(unseen) {
        notices.say(format!("note: {note}"));
    }
    let capabilities = emulator::probe(&domain, None, &user)?
        .with_nodes(nodes(host))
        .with_dmi(host.dmi())
        .with_firmware(firmwares.catalog);
    if let BackendPolicy::Named(backend) = args.backend {
        check_disk_backend(&domain, backend)
            .map_err(|errors| Error::in_document(document, errors))?;
    }
    let backend = choose_backend(args.backend, &domain, host, &capabilities, notices)?;
    let domain = input::finish(domain, document, &capabilities, backend)?;
    domain
        .check_nvme_controllers()
        .map_err(|errors| Error::in_document(document, errors))?;
    capabilities
        .check(&domain)
        .map_err(|e| Error::in_document(document, e))?;
    check_names(&domain, &named).map_err(|e| Error::at_places(Code::Host, document, e))?;
    let settings = StartSettings {
        user,
        named,
        run_dir: run_dir(),
        records,
        lost_firmware: firmwares.lost,
        share_user: args.share_user,
        accept_new_device: args.accept_new_device,
    };
    Ok(StartPlan::new(domain, &capabilities, settings)?)
}

/// Returns the host's NUMA nodes with their CPUs. Leaves out nodes without CPUs.
fn nodes(host: &Host) -> Vec<(u32, IdSet)> {
    host.numa_nodes()
        .into_iter()
        .filter_map(|(node, cpus)| Some((node, cpus.parse().ok()?)))
        .collect()
}
