//! The adoption of a guest that runs without a supervisor.

use std::path::Path;
use std::process::ExitCode;

use passthru_guest::{AdoptSettings, Adopted, RECORD_DIR, Records, Recovered, adopt, live_domain};
use passthru_host::Host;
use passthru_qemu::Capabilities;

use super::attend::{Manner, attend_running};
use super::detach::{leave_session, spawn_supervisor};
use crate::config::Config;
use crate::emulator;
use crate::error::Error;
use crate::folder::{log_dir, run_dir};
use crate::host::this_host;
use crate::message;
use crate::signals::Signals;
use crate::user::choose_user;

/// Arguments of the hidden command that attends a guest which runs.
#[derive(clap::Args)]
pub(crate) struct SuperviseArgs {
    /// Name of the guest, as in its XML
    name: String,
    /// Leave the terminal once the guest is adopted
    #[arg(long)]
    detached: bool,
    /// Configuration file to read instead of /etc/passthru/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

/// Adopts a guest, and stays with it until it ends.
pub(crate) fn supervise(args: &SuperviseArgs) -> Result<ExitCode, Error> {
    if args.detached {
        leave_session()?;
    }
    let signals = Signals::catch()?;
    let config = Config::read(args.config.as_deref())?;
    let access = config.access.resolve()?;
    let host = this_host();
    message::start_writer();
    match adopt_guest(&args.name, &config, &host, &signals)? {
        Adopted::Runs(guest) => {
            let manner = Manner::of_supervisor(args.detached);
            attend_running(&manner, *guest, &host, &signals, access, None)
        }
        Adopted::Recovered(recovered) => check_restored(&recovered).map(|()| ExitCode::SUCCESS),
    }
}

/// Checks that a recovery gave back all devices.
///
/// # Errors
/// If it did not, then the errors of the devices.
pub(super) fn check_restored(recovered: &Recovered) -> Result<(), Error> {
    match Error::several(Error::not_restored(&recovered.not_restored)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Starts a supervisor for a guest that runs without one. Returns the line that it printed.
pub(crate) fn start_supervisor(name: &str) -> Result<Result<String, ExitCode>, Error> {
    spawn_supervisor(["supervise", "--detached", "--", name].map(Into::into))
}

/// Adopts a guest; recovers it if its VMM has ended or never ran.
pub(super) fn adopt_guest(
    name: &str,
    config: &Config,
    host: &Host,
    signals: &Signals,
) -> Result<Adopted, Error> {
    let run_dir = run_dir();
    let settings = AdoptSettings {
        capabilities: capabilities(&run_dir, name, config, host),
        run_dir,
        log_dir: log_dir(),
        records: Records::new(RECORD_DIR),
    };
    Ok(adopt(name, &settings, host, &|| signals.taken() > 0)?)
}

/// Returns the capabilities of a guest's emulator, if it can be asked.
fn capabilities(run: &Path, name: &str, config: &Config, host: &Host) -> Option<Capabilities> {
    let domain = live_domain(run, name).ok()?;
    let user = choose_user(None, config, name, host).ok()?;
    emulator::probe(&domain, None, &user).ok()
}
