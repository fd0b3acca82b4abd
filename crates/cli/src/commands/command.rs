//! The list of commands.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    bind, completions, convert, forget, format, list, man, run as run_guest, unbind, validate,
};
use crate::error::Error;

/// Command of this program, with its arguments.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a guest in the foreground with devices of this host
    Run(run_guest::Args),
    /// Print the QEMU command line of a domain
    #[command(visible_alias = "domxml-to-native")]
    Convert(convert::Args),
    /// Print a domain's XML with its defaults filled in: controllers, addresses, aliases
    Format(format::Args),
    /// Report all errors in a domain's XML, and notes
    Validate(validate::Args),
    /// List this host's PCI devices, their usages, and whether a guest can have them
    List(list::Args),
    /// Bind devices to a VFIO driver
    ///
    /// Refuses a device that the host uses, and one whose IOMMU group has another device on a
    /// driver of the host. Binds all devices or none: if one cannot be bound, the others go back to
    /// their drivers.
    Bind(bind::Args),
    /// Give devices back to the drivers they had
    ///
    /// A device that had no driver goes to the driver that the kernel finds for it. Gives back also
    /// devices that a killed `passthru run` left.
    Unbind(unbind::Args),
    /// Remove the record of a guest: its user id, the identities of its devices, its firmware
    ///
    /// Refused while the guest or its VMM lives. Its images and firmware variables stay.
    Forget(forget::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Write the manual pages
    Man(man::Args),
}

/// Runs a command. `program` describes the whole command line, for help in other forms.
pub(crate) fn run(command: &Command, program: fn() -> clap::Command) -> Result<ExitCode, Error> {
    match command {
        Command::Run(args) => run_guest::run(args),
        Command::Convert(args) => convert::run(args).map(|()| ExitCode::SUCCESS),
        Command::Format(args) => format::run(args).map(|()| ExitCode::SUCCESS),
        Command::Validate(args) => validate::run(args),
        Command::List(args) => list::run(args).map(|()| ExitCode::SUCCESS),
        Command::Bind(args) => bind::run(args).map(|()| ExitCode::SUCCESS),
        Command::Unbind(args) => unbind::run(args).map(|()| ExitCode::SUCCESS),
        Command::Forget(args) => forget::run(args).map(|()| ExitCode::SUCCESS),
        Command::Completions(args) => completions::run(args, program()).map(|()| ExitCode::SUCCESS),
        Command::Man(args) => man::run(args, program()).map(|()| ExitCode::SUCCESS),
    }
}
