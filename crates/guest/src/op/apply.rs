//! The execution of operations.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use passthru_host::{Assignment, Error as HostError, Host, Request};
use passthru_pci::Address;
use passthru_qemu::WantKind;
use passthru_qemu::monitor::{self, Command, Qmp, Ticket};
use rustix::process::Resource;

use super::effect::Effect;
use super::op::Op;
use super::own_record::write_record;
use super::socket;
use super::world::World;
use crate::error::Error;
use crate::journal::JournalError;
use crate::plan::handover::HandoverItem;
use crate::plan::start_plan::{StartPlan, require_backends};
use crate::run::connection::monitor_error;
use crate::run::control_socket;
use crate::run::folder::write_domain;
use crate::run::machine::Machine;
use crate::run::vmm::Vmm;
use crate::start::check::check_identities;
use crate::start::opened;
use crate::start::spawn::Process;
use crate::start::{has_stdio, nvram, passwords, vfio_folder};
use crate::vmm_log::VmmLog;

/// Time limit for the answers of the VMM. A VMM that does not hang answers at once.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(30);

/// What an operation of a start gets besides the world.
pub(crate) struct Context<'a> {
    pub(crate) plan: &'a StartPlan,
    /// Returns whether the caller wants the start to end.
    pub(crate) interrupted: &'a dyn Fn() -> bool,
}

/// Writes a fact into the journal, before the operation is done.
pub(crate) type Note<'a> = dyn FnMut(Effect) -> Result<(), JournalError> + Send + 'a;

/// State of an operation after its begin.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The operation is done.
    Done,
    /// The operation is done once the VMM has given these answers.
    Waits(Vec<Ticket>),
}

/// Begins an operation of a start. Does not wait for answers of the VMM.
///
/// # Errors
/// The error of the operation. Nothing of it is in force then.
pub(crate) fn apply(
    op: &Op,
    world: &mut World,
    context: &Context<'_>,
    note: &mut Note<'_>,
) -> Result<Begun, Error> {
    let plan = context.plan;
    match op {
        Op::MakeGuestFolder { .. } => world.folder.make()?,
        Op::LoadModules { backends } => require_backends(backends, &world.host)?,
        Op::MakeNvram { .. } => nvram::make(&plan.domain, &world.opener())?,
        Op::Open { item, .. } | Op::Take { item, .. } | Op::Copy { item, .. } => {
            open(plan.item(*item)?, world, context)?;
        }
        Op::Listen {
            item,
            path,
            descriptor,
        } => {
            let listener = match path {
                None => world.folder.listen_for_monitor()?,
                Some(path) => {
                    let want = &plan.item(*item)?.want;
                    let made = socket::listen(path, &world.opener());
                    let (listener, inode) =
                        made.map_err(|source| opened::cannot_open(want, source))?;
                    note(inode)?;
                    listener
                }
            };
            world.opened.push((*descriptor, listener.into()));
        }
        Op::MakeFolder { path } => make_folder(path, world)?,
        Op::WriteRecord { .. } => {
            // The steps before take time, in which a card can be exchanged.
            let identities = check_identities(plan, &world.host)?;
            write_record(plan, identities, context.interrupted)?;
        }
        Op::Claim { device, .. } => {
            let name = world.folder.name();
            let devices = &mut world.assignment;
            claim(devices, &world.host, &plan.requests, name, *device)?;
        }
        Op::LoadDrivers { drivers } => load_drivers(drivers, &world.host)?,
        Op::Bind { device, to, .. } => {
            if let Some(assignment) = &mut world.assignment {
                assignment.bind(*device, to)?;
            }
        }
        Op::WriteDomain { path } => {
            let written = write_domain(world.folder.path(), &plan.domain);
            written.map_err(|source| Error::file("domain", path, source))?;
        }
        Op::OpenLog { path } => {
            let folder = world.folder.path();
            let log = VmmLog::create(folder, path);
            let log = log.map_err(|source| no_log(folder, source));
            world.log = Some(log?);
        }
        Op::MakeVfioFolder { .. } => world.vfio = vfio_folder::for_plan(plan, &world.host)?,
        Op::Spawn { .. } => spawn(plan, world, note)?,
        Op::HandOver { device } => {
            if let (Some(assignment), Some(vmm)) = (&world.assignment, &world.vmm) {
                assignment.hand_over(*device, vmm)?;
            }
        }
        Op::SetUp => {
            let machine = machine(world)?;
            return Ok(Begun::Waits(vec![machine.negotiation()]));
        }
        Op::SetPassword { index, .. } => {
            let passwords = plan.domain.devices.display_passwords();
            let mut tickets = Vec::new();
            if let Some(password) = passwords.get(*index) {
                tickets = passwords::submit(password, machine(world)?)?;
            }
            return Ok(Begun::Waits(tickets));
        }
        Op::SetBalloon { bytes } => {
            let command = Command::Balloon { value: *bytes };
            let ticket = machine(world)?.submit(&command)?;
            return Ok(Begun::Waits(vec![ticket]));
        }
        Op::EmptyLogs { .. } => empty(&std::mem::take(&mut world.to_empty)),
        Op::ListenForControl { path } => {
            let made = control_socket::listen_for_control(path);
            let listener = made.map_err(|source| Error::file("socket", path, source))?;
            world.control = Some(listener);
        }
        // The guest that owns the VMM lets it run.
        Op::Resume => {}
        // A transaction begins these.
        Op::RaiseMemlock { .. }
        | Op::AddFdSet { .. }
        | Op::AddObject { .. }
        | Op::PassDevice { .. }
        | Op::AddVfioNode { .. }
        | Op::AddDevice { .. }
        | Op::RemoveDevice { .. }
        | Op::RemoveVfioNode { .. }
        | Op::RemoveObject { .. }
        | Op::PassFile { .. }
        | Op::AddPart { .. }
        | Op::ChangeMedium { .. }
        | Op::RemovePart { .. }
        | Op::RewriteDomain { .. } => {
            return Err(Error::OutOfPlace { op: op.to_string() });
        }
    }

    Ok(Begun::Done)
}

/// Names the part of the domain in the error of an answer.
pub(crate) fn answer_error(op: &Op, error: Error) -> Error {
    match (op, error) {
        (
            Op::SetPassword { screen, .. },
            Error::Monitor(source @ monitor::Error::Command { .. }),
        ) => Error::Password {
            screen: screen.clone(),
            source,
        },
        (_, error) => error,
    }
}

fn machine(world: &mut World) -> Result<&mut Machine, Error> {
    world.machine.as_mut().ok_or_else(|| {
        Error::Monitor(monitor::Error::Closed {
            what: "monitor".into(),
        })
    })
}

fn open(item: &HandoverItem, world: &mut World, context: &Context<'_>) -> Result<(), Error> {
    let opened = opened::open_item(item, context.plan, &world.host, context.interrupted)?;
    if matches!(item.want.kind, WantKind::Output { append: false, .. }) {
        let copies = opened::copies_to_empty(&opened);
        world
            .to_empty
            .extend(copies.map_err(|source| opened::cannot_open(&item.want, source))?);
    }

    world.opened.extend(opened);
    Ok(())
}

fn make_folder(path: &Path, world: &World) -> Result<(), Error> {
    let made = world.opener().make_own_folder(path);
    made.map(drop)
        .map_err(|source| Error::file("folder", path, source))
}

/// Returns the error for the FIFO of the VMM's messages in a guest's folder.
pub(crate) fn no_log(folder: &Path, source: std::io::Error) -> Error {
    Error::file("FIFO of the VMM's messages in", folder, source)
}

/// Claims a device for a guest. The first claim checks all devices.
pub(crate) fn claim(
    devices: &mut Option<Assignment>,
    host: &Host,
    requests: &[Request],
    guest: &str,
    device: Address,
) -> Result<(), HostError> {
    let assignment = match devices.take() {
        Some(assignment) => assignment,
        None => host.begin_assignment(requests, Some(guest), false)?,
    };
    devices.insert(assignment).claim(device)
}

/// Loads VFIO drivers.
pub(crate) fn load_drivers(drivers: &[String], host: &Host) -> Result<(), HostError> {
    for driver in drivers {
        host.load_driver(driver)?;
    }

    Ok(())
}

/// Spawns the VMM. Its program begins only once the journal names the process.
fn spawn(plan: &StartPlan, world: &mut World, note: &mut Note<'_>) -> Result<(), Error> {
    // The connection is made before the VMM has the listener. So a VMM that ends at once closes
    // the connection, and its own message has the cause.
    let stream = UnixStream::connect(world.folder.monitor_path()).map_err(monitor_error)?;
    let spawn_error = |source| Error::Spawn {
        emulator: plan.line.emulator.clone(),
        user: plan.user.name.clone(),
        source,
    };
    let mut log = world.log.take();
    let stderr = log.as_mut().map(VmmLog::open_writer).transpose();
    let vfio = world.vfio.as_ref().map(OwnedFd::try_clone).transpose();
    let hard_limit = rustix::process::getrlimit(Resource::Memlock).maximum;
    let process = Process {
        program: &plan.line.emulator,
        arguments: &plan.line.render(&plan.handover),
        env: &plan.line.env,
        user: &plan.user,
        memlock: plan.memlock.bytes_to_set(hard_limit),
        stdout: has_stdio(&plan.domain),
        stderr: stderr.map_err(spawn_error)?,
        vfio: vfio.map_err(spawn_error)?,
        fds: std::mem::take(&mut world.opened),
    };
    let host = world.host.clone();
    let mut named = None;
    let mut name = |pid| {
        let process = host.process(pid).ok_or(std::io::ErrorKind::NotFound)?;
        named = Some(process.clone());
        note(Effect::Process(process)).map_err(std::io::Error::other)
    };
    let spawned = process.spawn(&mut name);
    let vmm = spawned.and_then(|child| Vmm::new(child, log));
    let vmm = vmm.map_err(spawn_error)?;
    let monitor = Qmp::new(stream, ANSWER_TIME).map_err(monitor_error)?;
    world.vmm = named;
    world.machine = Some(Machine::new(vmm, monitor));
    Ok(())
}

/// Empties the logs of the last start, now that this start has succeeded.
fn empty(logs: &[File]) {
    for log in logs {
        if let Err(e) = log.set_len(0) {
            tracing::warn!("cannot empty a log of the last start: {e}");
        }
    }
}
