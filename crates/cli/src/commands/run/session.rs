//! A run of a guest: the plan, the start, and the guest in the foreground.

use std::process::ExitCode;

use passthru_guest::{Adopted, Error as GuestError, Guest, RecordError, start};
use passthru_host::Host;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::adopting::{adopt_guest, check_restored};
use super::args::Args;
use super::attend::{Manner, attend, attend_running, connect};
use super::detach::{leave_session, run_detached};
use super::dry_run::dry_run;
use super::notices::Notices;
use super::planning::plan;
use crate::config::Config;
use crate::document::Document;
use crate::error::Error;
use crate::host::this_host;
use crate::signals::Signals;
use crate::{input, message};

/// Number of tries to start. A try fails if another guest takes the chosen user id; the next one
/// chooses another id.
const TRIES: usize = 16;

/// Runs a guest in the foreground, or starts its supervisor.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    if args.detach {
        return run_detached();
    }
    forbid_core_files();
    if args.detached {
        leave_session()?;
    }
    let signals = Signals::ending()?;
    let document = input::read(&args.file)?;
    let config = Config::read(args.config.as_deref())?;
    let access = config.access.resolve()?;
    let host = this_host();
    let manner = Manner::of_run(args);
    if args.adopt
        && let Some(guest) = adopt_former(&document, &config, &host, &signals)?
    {
        let console = connect(&manner, &guest);
        return attend_running(&manner, guest, &host, &signals, access, console);
    }

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
            Ok(guest) => return attend(&manner, guest, &host, &signals, access),
            Err(GuestError::Record(RecordError::UidTaken { .. })) if tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
        if signals.end_again() {
            return Err(GuestError::Interrupted.into());
        }
    }
}

/// Adopts the guest of a document, if it runs. Puts back what is left of it otherwise.
fn adopt_former(
    document: &Document,
    config: &Config,
    host: &Host,
    signals: &Signals,
) -> Result<Option<Guest>, Error> {
    let name = input::parse(document)?.name.unwrap_or_default();
    signals.hold();
    match adopt_guest(&name, config, host, signals)? {
        Adopted::Runs(guest) => Ok(Some(*guest)),
        Adopted::Recovered(_) if signals.end_again() => Err(GuestError::Interrupted.into()),
        Adopted::Recovered(recovered) => check_restored(&recovered).map(|()| None),
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
