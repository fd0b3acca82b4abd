//! The commands: a file each, with its arguments and one function.

mod bind;
mod completions;
mod convert;
mod forget;
mod format;
mod list;
mod man;
mod run;
mod unbind;
mod validate;

pub(crate) use bind::host_code;

use crate::error::Error;
use clap::Subcommand;
use passthru_host::Host;
use std::process::ExitCode;

/// What can be done.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a guest in the foreground with devices of this host
    Run(run::Args),
    /// Print the QEMU command line of a domain
    #[command(visible_alias = "domxml-to-native")]
    Convert(convert::Args),
    /// Print a domain's XML with its defaults filled in: controllers, addresses, aliases
    Format(format::Args),
    /// Report all errors in a domain's XML, and notes on what may surprise
    Validate(validate::Args),
    /// List this host's PCI devices, what uses them, and whether a guest can have them
    List(list::Args),
    /// Bind devices to a VFIO driver
    ///
    /// Refuses a device that the host uses, and one whose IOMMU group has another device on a
    /// driver of the host. Binds all devices or none: if one cannot be bound, the others go back to
    /// their drivers.
    Bind(bind::Args),
    /// Give devices back to the drivers they had
    ///
    /// A device that had none goes to the driver that the kernel finds for it. Also gives back the
    /// devices that `passthru run` left behind when it was killed.
    Unbind(unbind::Args),
    /// Drop what is kept of a guest: its user id, the identity of its devices, its firmware
    ///
    /// Refused while the guest, or its VMM, lives. Its images and firmware variables stay.
    Forget(forget::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Write the manual pages
    Man(man::Args),
}

/// Does what the user asked for.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Error> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Run(args) => run::run(args),
        Command::Convert(args) => convert::run(args).map(done),
        Command::Format(args) => format::run(args).map(done),
        Command::Validate(args) => validate::run(args),
        Command::List(args) => list::run(args).map(done),
        Command::Bind(args) => bind::run(args).map(done),
        Command::Unbind(args) => unbind::run(args).map(done),
        Command::Forget(args) => forget::run(args).map(done),
        Command::Completions(args) => completions::run(args).map(done),
        Command::Man(args) => man::run(args).map(done),
    }
}

/// Returns this host, with the SSH session that the user types in.
fn host() -> Host {
    Host::new().with_ssh_connection(&std::env::var("SSH_CONNECTION").unwrap_or_default())
}
