//! The begin of a transaction's operations. None of them waits.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use passthru_domain::IommufdObject;
use passthru_host::Request;
use passthru_pci::Address;
use passthru_qemu::monitor::Command;
use passthru_qemu::{PlugResolve, Want, iommufd_step};
use serde_json::Value;

use super::error::HotplugError;
use super::job::{Job, Work};
use super::medium::MediumChange;
use super::memlock::set_memlock_limit;
use super::removal::{Patience, Removal};
use super::wait::Wait;
use crate::error::Error;
use crate::op::apply::{claim, load_drivers};
use crate::op::effect::Effect;
use crate::op::ledger::Ledger;
use crate::op::op::{Op, PartKind};
use crate::op::world::World;
use crate::opener::OpenMode;
use crate::plan::start_plan::require_backends;
use crate::run::machine::Machine;
use crate::start::opened::{iommufd_context, open_cdev};
use crate::start::vfio_folder;

/// Objects that the operations of a transaction work on.
pub(super) struct Scene<'a> {
    pub(super) ledger: &'a mut Ledger,
    pub(super) machine: &'a mut Machine,
    /// Devices that the transaction takes.
    pub(super) requests: &'a [Request],
    pub(super) patience: Patience,
    pub(super) now: Instant,
}

/// Number of a descriptor in the VMM.
struct Number(String);

impl PlugResolve for Number {
    fn text(&self, _: &Want) -> String {
        self.0.clone()
    }
}

impl Scene<'_> {
    /// Begins an operation.
    ///
    /// # Errors
    /// The error of the operation. Nothing of it is in force then.
    pub(super) fn begin(&mut self, op: &Op) -> Result<Wait, Error> {
        match op {
            Op::LoadModules { backends } => {
                let backends = backends.clone();
                self.begin_job(op, |world| {
                    let host = world.host.clone();
                    Box::new(move |_| Ok(require_backends(&backends, &host)?))
                })
            }
            Op::LoadDrivers { drivers } => self.begin_job(op, |world| {
                let host = world.host.clone();
                let drivers = drivers.clone();
                Box::new(move |_| Ok(load_drivers(&drivers, &host)?))
            }),
            Op::Claim { device, .. } => {
                let requests = self.requests.to_vec();
                let device = *device;
                self.begin_job(op, |world| claim_work(world, requests, device))
            }
            Op::Bind { device, to, .. } => {
                let device = *device;
                let to = to.clone();
                self.begin_job(op, |_| {
                    Box::new(move |devices| match devices {
                        Some(devices) => Ok(devices.bind(device, &to)?),
                        None => Ok(()),
                    })
                })
            }
            Op::HandOver { device } => {
                let world = self.ledger.world();
                if let (Some(devices), Some(vmm)) = (&world.moving, &world.vmm) {
                    devices.hand_over(*device, vmm)?;
                }
                Ok(Wait::Nothing)
            }
            Op::RaiseMemlock { to, .. } => {
                set_memlock_limit(self.machine.pid(), *to)?;
                Ok(Wait::Nothing)
            }
            Op::AddFdSet { object, set } => {
                let opaque = format!("passthru:{object}");
                self.add_fd(*set, opaque, iommufd_context(None)?.into())
            }
            Op::PassDevice { device, set } => {
                let cdev = open_cdev(&self.ledger.world().host, *device)?;
                self.add_fd(*set, format!("passthru:{device}"), cdev.into())
            }
            Op::AddObject { object, descriptor } => {
                let number = match descriptor {
                    Some(number) => number.to_string(),
                    None => self.number(op)?,
                };
                let object = IommufdObject {
                    id: object.clone(),
                    fd: None,
                };
                self.ask(&iommufd_step(&object, &Number(number)).command)
            }
            Op::AddDevice {
                device, options, ..
            } => {
                let mut options = options.clone();
                // A device on type1 is opened by the VMM itself.
                if device.is_some() && options.get("iommufd").is_some() {
                    options["fd"] = Value::String(self.number(op)?);
                }
                self.ask(&Command::DeviceAdd { device: options })
            }
            Op::PassFile {
                alias,
                path,
                write,
                as_user,
                set,
            } => {
                let mode = if *write {
                    OpenMode::ReadWrite
                } else {
                    OpenMode::Read
                };
                let opener = self.ledger.opener();
                let opened = if *as_user {
                    opener.open_as_user(path, mode)
                } else {
                    opener.open(path, mode)
                };
                let file = opened.map_err(|source| Error::file(alias, path, source))?;
                self.add_fd(*set, format!("passthru:{alias}"), file.into())
            }
            Op::AddPart { kind, options, .. } => {
                let options = options.clone();
                self.ask(&match kind {
                    PartKind::Object => Command::ObjectAdd { object: options },
                    PartKind::Node => Command::BlockdevAdd { node: options },
                    PartKind::Netdev => Command::NetdevAdd { netdev: options },
                })
            }
            Op::ChangeMedium { drive, from, to } => {
                Ok(self.change_medium(drive, from.as_deref(), to.as_deref()))
            }
            Op::RemovePart { kind, id } => self.ask(&removal(*kind, id)),
            Op::RemoveDevice { alias, device } => Ok(self.remove(alias, *device)),
            Op::AddVfioNode { device, group } => {
                self.change_vfio_folder(*group, |folder, world| {
                    let found = world
                        .host
                        .device(*device)
                        .and_then(|device| world.host.type1_nodes(&[device]));
                    match found.map_err(io::Error::other)?.pop() {
                        Some(node) if node.name == group.to_string() => {
                            vfio_folder::add(folder, &node, &world.user)
                        }
                        _ => Err(io::ErrorKind::NotFound.into()),
                    }
                })
            }
            Op::RemoveVfioNode { group } => self.remove_vfio_node(*group),
            Op::RemoveObject { object } => self.ask(&Command::ObjectDel { id: object.clone() }),
            _ => Err(Error::OutOfPlace { op: op.to_string() }),
        }
    }

    /// Begins the removal of a device.
    pub(super) fn remove(&self, alias: &str, device: Option<Address>) -> Wait {
        Wait::Removal(Removal::new(alias, device, self.patience, self.now))
    }

    /// Begins the change of a drive's medium.
    pub(super) fn change_medium(&self, drive: &str, from: Option<&str>, to: Option<&str>) -> Wait {
        let change = MediumChange::new(drive, from, to, self.patience, self.now);
        Wait::Medium(change)
    }

    /// Sends a command, whose answer ends the operation.
    pub(super) fn ask(&mut self, command: &Command) -> Result<Wait, Error> {
        Ok(Wait::Answer(self.machine.submit(command)?))
    }

    /// Takes the node of a group out of the VMM's own `/dev/vfio`.
    pub(super) fn remove_vfio_node(&mut self, group: u32) -> Result<Wait, Error> {
        self.change_vfio_folder(group, |folder, _| {
            vfio_folder::remove(folder, &group.to_string())
        })
    }

    fn change_vfio_folder(
        &mut self,
        group: u32,
        change: impl FnOnce(&OwnedFd, &World) -> io::Result<()>,
    ) -> Result<Wait, Error> {
        let world = self.ledger.world();
        let found = vfio_folder::find(world);
        let changed = found.and_then(|folder| match folder {
            Some(folder) => change(&folder, world),
            None => Err(io::ErrorKind::NotFound.into()),
        });
        match changed {
            Ok(()) => Ok(Wait::Nothing),
            Err(source) => Err(HotplugError::VfioNode { group, source }.into()),
        }
    }

    /// Begins work in a thread.
    pub(super) fn begin_job(
        &mut self,
        op: &Op,
        work: impl FnOnce(&World) -> Work,
    ) -> Result<Wait, Error> {
        let world = self.ledger.world();
        let work = work(world);
        let job = Job::start(&mut world.moving, work);
        let job = job.map_err(|source| HotplugError::Thread {
            op: op.to_string(),
            source,
        })?;
        Ok(Wait::Job(job))
    }

    fn add_fd(&mut self, set: u32, opaque: String, fd: OwnedFd) -> Result<Wait, Error> {
        let command = Command::AddFd {
            fdset_id: set,
            opaque: Some(opaque),
        };
        Ok(Wait::Number(
            self.machine.submit_with_fds(&command, vec![fd])?,
        ))
    }

    /// Returns the number in the VMM of the descriptor that an operation takes.
    fn number(&self, op: &Op) -> Result<String, Error> {
        let mut entries = self.ledger.entries().iter();
        let entry = entries.rfind(|entry| passes_to(&entry.op, op));
        match entry.and_then(|entry| entry.effect.as_ref()) {
            Some(Effect::Descriptor(number)) => Ok(number.to_string()),
            _ => Err(HotplugError::NoDescriptor { op: op.to_string() }.into()),
        }
    }
}

/// Returns whether an operation passes the descriptor that another one takes.
fn passes_to(op: &Op, taker: &Op) -> bool {
    match (op, taker) {
        (Op::AddFdSet { object, .. }, Op::AddObject { object: taken, .. }) => object == taken,
        (Op::PassDevice { device, .. }, Op::AddDevice { device: taken, .. }) => {
            Some(*device) == *taken
        }
        _ => false,
    }
}

/// Returns the command that removes a part of a device.
pub(super) fn removal(kind: PartKind, id: &str) -> Command {
    let id = id.to_owned();
    match kind {
        PartKind::Object => Command::ObjectDel { id },
        PartKind::Node => Command::BlockdevDel { node_name: id },
        PartKind::Netdev => Command::NetdevDel { id },
    }
}

/// Returns the work that claims a device.
fn claim_work(world: &World, requests: Vec<Request>, device: Address) -> Work {
    let host = world.host.clone();
    let name = world.name().to_owned();
    Box::new(move |devices| Ok(claim(devices, &host, &requests, &name, device)?))
}
