//! Arguments of `passthru run`.

use std::path::PathBuf;

use crate::commands::backend_argument::{BackendPolicy, policy};

/// Seconds that a guest has to power off unless its start says otherwise.
pub(super) const STOP_SECONDS: u64 = 30;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The domain XML; `-` reads standard input
    pub(super) file: PathBuf,
    /// Show the steps of a run without doing them
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Start the guest and let it run without this command
    ///
    /// The command ends once the guest runs. The guest's supervisor goes on in a session of its
    /// own: see `passthru ps`, `console`, `logs` and `stop`.
    #[arg(long, conflicts_with_all = ["dry_run", "raw_console"])]
    pub(super) detach: bool,
    /// Attend the guest if its VMM runs already, instead of starting it
    ///
    /// A service manager restarts a supervisor so.
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) adopt: bool,
    /// Be the supervisor that --detach starts
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub(super) detached: bool,
    /// With --dry-run: print the steps as JSON
    #[arg(long, requires = "dry_run")]
    pub(super) json: bool,
    /// User that the VMM runs as [default: the configuration file's, else the guest's own]
    ///
    /// The user must not be root or nobody. A guest's own user has a number of the configured range
    /// and no name. The number belongs to the guest until `passthru forget`. Without root, a guest
    /// without devices runs as the caller.
    #[arg(long, value_name = "NAME|UID")]
    pub(super) user: Option<String>,
    /// Allow a user that another guest has; the two guests can then reach each other's memory
    #[arg(long)]
    pub(super) share_user: bool,
    /// Accept another device than the one that the guest had at this address
    #[arg(long)]
    pub(super) accept_new_device: bool,
    /// Backend of the devices whose XML names none
    #[arg(long, default_value = "auto", value_parser = policy())]
    pub(super) backend: BackendPolicy,
    /// Pass the open descriptor N, which the domain uses under NAME; may be repeated
    #[arg(long, value_name = "NAME=N", value_parser = named_fd)]
    pub(super) fd: Vec<(String, u32)>,
    /// Seconds that the guest has to power off after Ctrl-C or SIGTERM
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = STOP_SECONDS,
        value_parser = clap::value_parser!(u64).range(..=86400)
    )]
    pub(super) stop_timeout: u64,
    /// Keep the guest's console off the terminal
    #[arg(long)]
    pub(super) no_console: bool,
    /// Pass Ctrl-C to the guest's console; Ctrl-] ends the guest
    #[arg(long)]
    pub(super) raw_console: bool,
    /// Configuration file to read instead of /etc/passthru/config.toml
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Parses `NAME=N`. A name can hold `=`.
fn named_fd(text: &str) -> Result<(String, u32), String> {
    let (name, number) = text.rsplit_once('=').ok_or("expected NAME=N")?;
    let number = number
        .parse()
        .ok()
        .ok_or("N must be the number of an open descriptor")?;
    if name.is_empty() {
        Err("the name is empty".into())
    } else {
        Ok((name.into(), number))
    }
}
