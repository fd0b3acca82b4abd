//! The list of commands.

use std::process::ExitCode;

use clap::Subcommand;

use super::control::{
    GuestArgs, attach, console, detach, dumpxml, events, info, logs, pause, ps, qmp, reboot, stop,
};
use super::{
    bind, completions, convert, forget, format, list, man, recover, run as run_guest, unbind,
    validate,
};
use crate::error::Error;

/// Command of this program, with its arguments.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a guest in the foreground with devices of this host
    Run(run_guest::Args),
    /// List the guests that run
    Ps(ps::Args),
    /// Describe a guest that runs: state, processes, pinned memory, devices
    Info(GuestArgs),
    /// End a guest: ask it to power off, then end its VMM, then give its devices back
    Stop(stop::Args),
    /// Ask a guest to shut down, and start it again then
    Reboot(reboot::Args),
    /// Stop the processors of a guest
    Pause(GuestArgs),
    /// Let the processors of a paused guest go on
    Resume(GuestArgs),
    /// Put the console of a guest on this terminal; Ctrl-] leaves it
    Console(console::Args),
    /// Print what the VMM of a guest has written to standard error
    Logs(logs::Args),
    /// Give devices to a guest that runs
    Attach(attach::Args),
    /// Take a device from a guest that runs
    ///
    /// The guest is asked to release the device, and the device goes back to the host.
    Detach(detach::Args),
    /// Print the domain XML of a guest as it is now
    Dumpxml(GuestArgs),
    /// Print the events of a guest as they come
    Events(GuestArgs),
    /// Send a command to the monitor of a guest's QEMU
    ///
    /// Commands that change what passthru keeps track of are refused, for example those that plug
    /// devices.
    Qmp(qmp::Args),
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
    /// Attend guests whose supervisor died, and put back what dead guests left
    ///
    /// A guest that runs on gets a new supervisor. For other guests, devices go back to their
    /// drivers, and folders and sockets are removed.
    Recover(recover::Args),
    /// Attend a guest that runs without a supervisor
    #[command(hide = true)]
    Supervise(run_guest::SuperviseArgs),
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
        Command::Ps(args) => ps::run(args).map(|()| ExitCode::SUCCESS),
        Command::Info(args) => info::run(args).map(|()| ExitCode::SUCCESS),
        Command::Stop(args) => stop::run(args).map(|()| ExitCode::SUCCESS),
        Command::Reboot(args) => reboot::run(args).map(|()| ExitCode::SUCCESS),
        Command::Pause(args) => pause::pause(args).map(|()| ExitCode::SUCCESS),
        Command::Resume(args) => pause::resume(args).map(|()| ExitCode::SUCCESS),
        Command::Console(args) => console::run(args).map(|()| ExitCode::SUCCESS),
        Command::Logs(args) => logs::run(args).map(|()| ExitCode::SUCCESS),
        Command::Attach(args) => attach::run(args).map(|()| ExitCode::SUCCESS),
        Command::Detach(args) => detach::run(args).map(|()| ExitCode::SUCCESS),
        Command::Dumpxml(args) => dumpxml::run(args).map(|()| ExitCode::SUCCESS),
        Command::Events(args) => events::run(args).map(|()| ExitCode::SUCCESS),
        Command::Qmp(args) => qmp::run(args).map(|()| ExitCode::SUCCESS),
        Command::Convert(args) => convert::run(args).map(|()| ExitCode::SUCCESS),
        Command::Format(args) => format::run(args).map(|()| ExitCode::SUCCESS),
        Command::Validate(args) => validate::run(args),
        Command::List(args) => list::run(args).map(|()| ExitCode::SUCCESS),
        Command::Bind(args) => bind::run(args).map(|()| ExitCode::SUCCESS),
        Command::Unbind(args) => unbind::run(args).map(|()| ExitCode::SUCCESS),
        Command::Recover(args) => recover::run(args),
        Command::Supervise(args) => run_guest::supervise(args),
        Command::Forget(args) => forget::run(args).map(|()| ExitCode::SUCCESS),
        Command::Completions(args) => completions::run(args, program()).map(|()| ExitCode::SUCCESS),
        Command::Man(args) => man::run(args, program()).map(|()| ExitCode::SUCCESS),
    }
}
