//! The operations of a start, in their order.

use std::os::fd::RawFd;
use std::path::PathBuf;

use passthru_domain::Domain;
use passthru_domain::device::DisplayPassword;
use passthru_domain::device::graphics::GraphicsType;
use passthru_domain::device::memballoon::MemballoonModel;
use passthru_host::{DriverChange, Host, Request};
use passthru_qemu::WantKind;

use crate::error::Error;
use crate::op::op::{Descriptor, Op};
use crate::opener::{OpenMode, Opener};
use crate::plan::handover::{Delivery, HandoverItem};
use crate::plan::start_plan::StartPlan;
use crate::plan::type1;
use crate::run::control_socket::control_path;
use crate::run::folder::{domain_path, folder_path};
use crate::start::nvram;
use crate::vmm_log::log_path;

impl StartPlan {
    /// Returns the operations of the start, in their order. A start executes them, and the guest's
    /// end undoes them, the last one first. Reads the host, and changes nothing.
    ///
    /// # Errors
    /// - If the plan has faults, then these.
    /// - If the host does not have a device, then [`Error::Host`].
    /// - If the firmware's variables cannot be made, then [`Error::NoTemplate`].
    /// - If the guest's record cannot be read, then [`Error::Record`].
    pub fn ops(&self, host: &Host) -> Result<Vec<Op>, Error> {
        Error::check_none(self.faults())?;
        let mut ops = vec![Op::MakeGuestFolder {
            path: folder_path(&self.run_dir, &self.name),
        }];
        ops.extend(self.load_modules());
        ops.extend(self.make_nvram()?);
        let items = Vec::from_iter(self.handover.items().iter().enumerate());
        for (index, item) in &items {
            if !waits_for_devices(item) {
                ops.extend(open_item(*index, item));
            }
        }

        for path in self.folders() {
            ops.push(Op::MakeFolder { path: path.into() });
        }
        ops.extend(self.write_record()?);
        ops.extend(take_devices(&self.requests, host)?);
        for (index, item) in &items {
            if waits_for_devices(item) {
                ops.extend(open_item(*index, item));
            }
        }

        let folder = folder_path(&self.run_dir, &self.name);
        ops.push(Op::WriteDomain {
            path: domain_path(&folder),
        });
        ops.push(Op::OpenLog {
            path: log_path(&self.log_dir, &self.name),
        });
        ops.extend(self.make_vfio_folder(host)?);
        ops.push(self.spawn());
        let devices = self.requests.iter().map(|request| request.address);
        ops.extend(devices.map(|device| Op::HandOver { device }));
        ops.push(Op::SetUp);
        let passwords = self.domain.devices.display_passwords();
        ops.extend(passwords.iter().enumerate().map(set_password));
        let balloon = balloon_target(&self.domain);
        ops.extend(balloon.map(|bytes| Op::SetBalloon { bytes }));
        ops.extend(self.empty_logs());
        ops.push(Op::ListenForControl {
            path: control_path(&self.run_dir, &self.name),
        });
        ops.push(Op::Resume);
        Ok(ops)
    }

    fn load_modules(&self) -> Option<Op> {
        let backends = self.backends();
        let backends = Vec::from_iter(backends.iter().map(ToString::to_string));
        (!backends.is_empty()).then_some(Op::LoadModules { backends })
    }

    fn make_nvram(&self) -> Result<Option<Op>, Error> {
        let missing = nvram::missing(&self.domain, &Opener::new(&self.user))?;
        Ok(missing.map(|missing| Op::MakeNvram {
            path: missing.path.into(),
            template: missing.template.map(Into::into),
        }))
    }

    fn write_record(&self) -> Result<Option<Op>, Error> {
        if !self.is_recorded() {
            return Ok(None);
        }
        Ok(Some(Op::WriteRecord {
            path: self.records.path(&self.name),
            former: self.records.read(&self.name)?.map(Box::new),
        }))
    }

    /// Returns the operation for the VMM's own `/dev/vfio`, if it has one.
    fn make_vfio_folder(&self, host: &Host) -> Result<Option<Op>, Error> {
        if self.by_type1.is_empty() {
            return Ok(None);
        }
        let mut nodes = vec!["/dev/vfio/vfio".to_owned()];
        for device in type1::devices(&self.by_type1, host)? {
            let node = device.group.map(|group| format!("/dev/vfio/{group}"));
            nodes.extend(node.filter(|node| !nodes.contains(node)));
        }

        Ok(Some(Op::MakeVfioFolder { nodes }))
    }

    fn spawn(&self) -> Op {
        let mut command = vec![self.line.emulator.clone()];
        command.extend(self.line.render(&self.handover));
        let mut memlock = None;
        let mut memlock_items = Vec::new();
        if self.needs_root() {
            memlock = Some(self.memlock.bytes());
            memlock_items = self.memlock.items().to_vec();
        }

        Op::Spawn {
            user: self.user.name.clone(),
            uid: self.user.uid(),
            memlock,
            memlock_items,
            command,
        }
    }

    fn empty_logs(&self) -> Option<Op> {
        let mut paths = Vec::new();
        for item in self.handover.items() {
            if let WantKind::Output {
                path,
                append: false,
                ..
            } = &item.want.kind
            {
                paths.push(path.clone());
            }
        }

        (!paths.is_empty()).then_some(Op::EmptyLogs { paths })
    }
}

/// Returns the operations that take the devices: first all claims, then the changes of drivers.
pub(crate) fn take_devices(requests: &[Request], host: &Host) -> Result<Vec<Op>, Error> {
    let mut claims = Vec::new();
    let mut drivers = Vec::new();
    let mut binds = Vec::new();
    for request in requests {
        let device = request.address;
        let Some(DriverChange { from, to, back }) = host.change(request)? else {
            claims.push(Op::Claim {
                device,
                driver: host.device(device)?.driver,
                stays: true,
            });
            continue;
        };
        claims.push(Op::Claim {
            device,
            driver: from.clone(),
            stays: false,
        });
        if !drivers.contains(&to) {
            drivers.push(to.clone());
        }
        binds.push(Op::Bind {
            device,
            from,
            to,
            back,
        });
    }

    let mut ops = claims;
    if !drivers.is_empty() {
        ops.push(Op::LoadDrivers { drivers });
    }
    ops.extend(binds);
    Ok(ops)
}

/// Returns whether an object is opened after the devices are taken: a device, and what others
/// would notice.
fn waits_for_devices(item: &HandoverItem) -> bool {
    match item.want.kind {
        WantKind::Vfio { .. } | WantKind::Output { .. } => true,
        WantKind::Listener { .. } => !is_monitor(item),
        _ => false,
    }
}

fn is_monitor(item: &HandoverItem) -> bool {
    item.want.name == StartPlan::MONITOR
}

/// Returns the operation that opens an object of the handover; `None` if the VMM opens the object
/// by its path.
fn open_item(index: usize, item: &HandoverItem) -> Option<Op> {
    let path = item.want.path().unwrap_or_default();
    match &item.delivery {
        Delivery::Descriptor(number) => Some(open_descriptor(index, item, path, *number)),
        Delivery::FdSet(members) => {
            let mut descriptors = Vec::new();
            for (number, mode) in members {
                descriptors.push(descriptor(*number, mode.text()));
            }
            Some(Op::Open {
                item: index,
                what: path.to_owned(),
                descriptors,
            })
        }
        Delivery::Copy(number) => Some(Op::Copy {
            item: index,
            path: path.to_owned(),
            descriptor: *number,
        }),
        Delivery::Folder(_) | Delivery::Path => None,
    }
}

fn open_descriptor(index: usize, item: &HandoverItem, path: &str, number: RawFd) -> Op {
    let name = &item.want.name;
    let (what, mode) = match &item.want.kind {
        WantKind::Iommufd { given: None } => (
            format!(
                "/dev/iommu for {name} and charge pinned memory to the VMM's process \
                 (IOMMU_OPTION_RLIMIT_MODE)"
            ),
            OpenMode::ReadWrite.text(),
        ),
        WantKind::Iommufd { .. } => {
            return Op::Take {
                item: index,
                what: format!("/dev/iommu for {name}"),
                descriptor: number,
            };
        }
        WantKind::Vfio {
            host, given: None, ..
        } => (
            format!("/dev/vfio/devices/vfioN of {host}"),
            OpenMode::ReadWrite.text(),
        ),
        WantKind::Vfio { host, .. } => {
            return Op::Take {
                item: index,
                what: format!("/dev/vfio/devices/vfioN of {host}"),
                descriptor: number,
            };
        }
        WantKind::Connected { .. } => (format!("a connection to the socket {path}"), "to talk"),
        WantKind::Listener { .. } => {
            return Op::Listen {
                item: index,
                path: (!is_monitor(item)).then(|| PathBuf::from(path)),
                descriptor: number,
            };
        }
        _ => (path.to_owned(), OpenMode::ReadWrite.text()),
    };
    Op::Open {
        item: index,
        what,
        descriptors: vec![descriptor(number, mode)],
    }
}

fn descriptor(number: RawFd, mode: &str) -> Descriptor {
    Descriptor {
        number,
        mode: mode.into(),
    }
}

/// Returns the operation that sets the password of a screen.
fn set_password((index, password): (usize, &DisplayPassword<'_>)) -> Op {
    Op::SetPassword {
        index,
        screen: screen_name(password.protocol).into(),
        valid_to: password.valid_to.map(|end| end.to_string()),
    }
}

/// Returns the name of a kind of screen for messages.
pub(crate) const fn screen_name(kind: GraphicsType) -> &'static str {
    match kind {
        GraphicsType::Spice => "SPICE",
        GraphicsType::Vnc => "VNC",
        other => other.as_str(),
    }
}

/// Returns the bytes that a guest with less `<currentMemory>` than `<memory>` keeps: it starts with
/// the balloon inflated by the difference.
fn balloon_target(domain: &Domain) -> Option<u64> {
    let current = domain.current_memory?.bytes();
    let balloon = domain.devices.memballoon.as_ref()?;
    let is_less = domain.memory.is_some_and(|memory| current < memory.bytes());
    (is_less && balloon.model == Some(MemballoonModel::Virtio)).then_some(current)
}
