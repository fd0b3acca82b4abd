//! The adoption of a guest that has outlived its manager.

use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::time::Duration;

use passthru_domain::{Arch, Domain};
use passthru_host::Host;
use passthru_pci::Address;
use passthru_qemu::Capabilities;
use passthru_qemu::monitor::{self, Command, Qmp};
use serde_json::Value;

use super::connection::{Patience, monitor_error};
use super::console::{console_label, console_path};
use super::control_socket::listen_for_control;
use super::folder::{GuestFolder, LivingVmm, Remains, domain_path, read_domain, read_remains};
use super::guest::{Guest, Lifecycle};
use super::machine::Machine;
use super::recover::{Recovered, recover_locked, roll_back};
use super::vmm::Vmm;
use crate::error::Error;
use crate::journal::JournalState;
use crate::op::apply::{ANSWER_TIME, no_log};
use crate::op::ledger::Ledger;
use crate::op::op::Op;
use crate::op::world::World;
use crate::plan::hotplug::Hotplug;
use crate::plan::memlock::Memlock;
use crate::plan::start_plan::size_of_file;
use crate::start::record::Records;
use crate::start::user::User;
use crate::vmm_log::{VmmLog, log_path};

/// Time limit for the monitor of a VMM to take the connection and to answer.
const MONITOR_TIME: Duration = Duration::from_secs(30);
/// Time for a VMM to end after SIGKILL. It unpins the guest's memory.
const KILL_TIME: Duration = Duration::from_secs(60);

/// Choices of the caller for an adoption.
#[derive(Clone, Debug)]
pub struct AdoptSettings {
    /// Folder of the folders of running guests: for root, [`RUN_DIR`](crate::RUN_DIR).
    pub run_dir: PathBuf,
    /// Folder of the logs of VMMs: for root, [`LOG_DIR`](crate::LOG_DIR).
    pub log_dir: PathBuf,
    /// Records of guests.
    pub records: Records,
    /// Capabilities of the guest's emulator, for changes of devices; the built-in ones if they are
    /// absent. [`live_domain`](crate::live_domain) names the emulator.
    pub capabilities: Option<Capabilities>,
}

/// The result of an adoption.
#[derive(Debug)]
pub enum Adopted {
    /// The guest runs, and this process manages it.
    Runs(Box<Guest>),
    /// The guest did not run any more, or never did. What was left of it is undone.
    Recovered(Recovered),
}

/// Adopts a guest whose manager has died or left it, by the journal in the guest's folder. Calls
/// `interrupted` while it waits for the VMM.
///
/// A guest whose VMM has ended is recovered, as [`recover`](crate::recover) does. A VMM whose guest
/// never ran is killed first. A guest that powered off meanwhile is powered off or started again by
/// the first call of [`Guest::handle_events`].
///
/// # Errors
/// - If a manager of the guest lives, then [`FolderError::Running`](crate::FolderError::Running).
/// - If it cannot be determined whether the VMM lives, or the journal cannot be used, then
///   [`Error::Folder`].
/// - If the guest runs, and a part of it cannot be taken over, then [`Error::NotAdopted`]. The
///   guest runs on.
pub fn adopt(
    name: &str,
    settings: &AdoptSettings,
    host: &Host,
    interrupted: &dyn Fn() -> bool,
) -> Result<Adopted, Error> {
    let folder = GuestFolder::lock(&settings.run_dir, name)?;
    let mut remains = read_remains(folder.path(), name, host)?;
    if let Remains::Alive(state, vmm) = remains {
        if state.may_have_run {
            let process = vmm.process.clone();
            let patience = Patience::new(MONITOR_TIME, interrupted);
            let taken = take_over(folder.clone(), state, vmm, settings, host, &patience);
            match taken {
                Ok(adopted) => return Ok(adopted),
                Err(source) if host.may_live(&process) => {
                    return Err(Error::NotAdopted {
                        name: name.into(),
                        pid: process.pid,
                        source: Box::new(source),
                    });
                }
                // The VMM has ended meanwhile.
                Err(_) => remains = read_remains(folder.path(), name, host)?,
            }
        } else {
            remains = Remains::Alive(state, vmm);
        }
    }

    let recovered = recover_locked(&folder, &settings.records, host, &[], remains)?;
    Ok(Adopted::Recovered(recovered))
}

impl Guest {
    /// Leaves the guest to a successor, which adopts it by its name. The VMM runs on, and nothing
    /// is undone. A change of devices that is under way stays as it is.
    pub fn leave(mut self) {
        self.machine.leave();
        self.ledger.leave();
    }
}

/// Takes over a guest whose VMM lives. Until all is taken, nothing that is dropped ends the VMM or
/// changes a device.
fn take_over(
    mut folder: GuestFolder,
    state: JournalState,
    vmm: LivingVmm,
    settings: &AdoptSettings,
    host: &Host,
    patience: &Patience<'_>,
) -> Result<Adopted, Error> {
    folder.open()?;
    let domain = read_live_domain(folder.path())?;
    let process = vmm.process.clone();
    let mut machine = connect_to(vmm, &folder, &settings.log_dir, patience)?;
    let status = patience.ask(&mut machine, &Command::QueryStatus)?;
    let status = status.get("status").and_then(Value::as_str);
    // After a reset, a paused guest is in this state too.
    if status == Some("prelaunch") && !state.has_run {
        // The manager died before it let the guest run.
        end(&mut machine)?;
        let recovered = roll_back(&folder, &settings.records, host, &[], state)?;
        return Ok(Adopted::Recovered(recovered));
    }

    let console = find_console(&mut machine, &domain, patience)?;
    let mut lifecycle = Lifecycle::from_domain(&domain);
    if status == Some("shutdown") {
        lifecycle.note_missed_end();
    }
    let capabilities = settings.capabilities.clone();
    let capabilities = capabilities.unwrap_or_else(|| built_in(&domain));
    let hotplug = Hotplug::adopted(&domain, capabilities, state.used.clone());
    let ids = state.header.user;
    let devices = claimed(&state);
    let mut world = World::new(host, User::own(ids), settings.records.clone(), folder);
    world.vmm = Some(process);
    let memlock = Memlock::for_domain(&domain, &|path| size_of_file(path, &world.opener()));
    let mut guest = Guest {
        ledger: Ledger::resume(world, state)?,
        hotplug,
        lifecycle,
        memlock,
        domain,
        machine,
        uid: ids.uid,
        console,
    };
    if let Err(error) = take_charge(&mut guest, &devices) {
        guest.leave();
        return Err(error);
    }

    Ok(Adopted::Runs(Box::new(guest)))
}

/// Claims the devices of a guest, listens for commands, and notes the adoption in the journal.
fn take_charge(guest: &mut Guest, devices: &[Address]) -> Result<(), Error> {
    let ledger = &mut guest.ledger;
    let world = ledger.world();
    if let Some(vmm) = &world.vmm {
        let again = world.host.assign_again(devices, world.folder.name(), vmm)?;
        world.assignment = Some(again);
    }

    let manager = world.host.process(std::process::id());
    let manager =
        manager.ok_or_else(|| Error::file("process in", Path::new("/proc"), NotFound.into()))?;
    ledger.adopt(manager)?;
    listen_again(ledger)?;
    guest.machine.take_charge();
    Ok(())
}

/// Makes the control socket again, if the guest has one.
fn listen_again(ledger: &mut Ledger) -> Result<(), Error> {
    let mut sockets = ledger.entries().iter().filter_map(|entry| match &entry.op {
        Op::ListenForControl { path } => Some(path),
        _ => None,
    });
    if let Some(path) = sockets.next() {
        let made = listen_for_control(path);
        let listener = made.map_err(|source| Error::file("control socket", path, source))?;
        ledger.world().control = Some(listener);
    }
    Ok(())
}

/// Connects to the monitor of a VMM, and opens its log.
fn connect_to(
    vmm: LivingVmm,
    folder: &GuestFolder,
    log_dir: &Path,
    patience: &Patience<'_>,
) -> Result<Machine, Error> {
    let log = VmmLog::open(folder.path(), &log_path(log_dir, folder.name()));
    let log = log.map_err(|source| no_log(folder.path(), source))?;
    let vmm = Vmm::adopted(vmm.process.pid, vmm.pidfd, Some(log));
    let stream = patience.connect(&folder.monitor_path())?;
    let monitor = Qmp::new(stream, ANSWER_TIME).map_err(monitor_error)?;
    let mut machine = Machine::new(vmm, monitor);
    let negotiation = machine.negotiation();
    patience.wait(&mut machine, negotiation)?;
    Ok(machine)
}

/// Kills a VMM whose guest never ran, and waits for its end.
fn end(machine: &mut Machine) -> Result<(), Error> {
    let vmm = machine.vmm();
    vmm.kill();
    if vmm.ends_within(KILL_TIME) {
        return Ok(());
    }
    let what = "end after SIGKILL".into();
    Err(Error::Monitor(monitor::Error::Timeout { what }))
}

fn find_console(
    machine: &mut Machine,
    domain: &Domain,
    patience: &Patience<'_>,
) -> Result<Option<PathBuf>, Error> {
    let Some(label) = console_label(domain) else {
        return Ok(None);
    };
    let answer = patience.ask(machine, &Command::QueryChardev)?;
    Ok(console_path(&answer, &label))
}

/// Returns the devices that a guest has claimed, by its journal.
fn claimed(state: &JournalState) -> Vec<Address> {
    let mut devices = Vec::new();
    for entry in &state.entries {
        if let Op::Claim { device, .. } = entry.op
            && !devices.contains(&device)
        {
            devices.push(device);
        }
    }

    devices
}

fn read_live_domain(folder: &Path) -> Result<Domain, Error> {
    read_domain(folder).map_err(|source| Error::file("domain", &domain_path(folder), source))
}

fn built_in(domain: &Domain) -> Capabilities {
    Capabilities::builtin(domain.os.kind.arch.unwrap_or(Arch::X86_64))
}
