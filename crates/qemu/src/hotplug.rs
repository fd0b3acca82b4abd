//! Devices of a running guest: from the options of a device to the commands of the monitor.
//!
//! [`plug`] and [`unplug`] take the [`Fragment`] that also stands on a command line. So a device
//! that is plugged in later has the properties that it would have had from the start.

use std::borrow::Cow;

use passthru_domain::IommufdObject;
use thiserror::Error;

use crate::capabilities::{Capabilities, Version};
use crate::fragment::Fragment;
use crate::line::{
    FileLocation, Object, Opt, Renderer, Resolve, Term, Value, Want, distinct_wants,
};
use crate::monitor::Command;
use crate::section::hostdev;

/// First QEMU whose `device_add` takes lists. Older ones drop them without an error.
const LISTS_SINCE: Version = Version {
    major: 9,
    minor: 2,
    micro: 0,
};

/// A command that is a step of plugging in a device.
#[derive(Clone, Debug, PartialEq)]
pub struct PlugStep {
    /// The command.
    pub command: Command,
    /// Descriptors and files that QEMU must have before the command, each once.
    pub wants: Vec<Want>,
}

/// The commands that take a device out of a running guest.
#[derive(Clone, Debug, PartialEq)]
pub struct Unplug {
    /// Id of the device, which the events name.
    pub device: String,
    /// The request to the guest to release the device.
    pub request: Command,
    /// The removal of what the device used, for after the event `DEVICE_DELETED`, in this order.
    pub cleanup: Vec<Command>,
}

/// The commands for the medium of a drive.
#[derive(Clone, Debug, PartialEq)]
pub struct Medium {
    /// The steps that make the medium's block nodes and what they need.
    pub steps: Vec<PlugStep>,
    /// Name of the block node to put into the drive; `None` without a medium.
    pub node: Option<String>,
    /// The commands that remove the nodes once the medium is out of the drive.
    pub cleanup: Vec<Command>,
}

/// A choice of what is written in a command for each [`Want`].
pub trait PlugResolve {
    /// Returns what stands for a want. [`Want::plug_passing`] says of what kind that is.
    fn text(&self, want: &Want) -> String;
}

/// A device that a running QEMU cannot get or release.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{device} cannot be plugged or unplugged while the guest runs: {reason}")]
pub struct NotPluggable {
    /// The device, with its id or driver.
    pub device: String,
    /// The reason, as a clause.
    pub reason: String,
}

/// Returns the commands that plug in a device, in their order: what it needs, and last
/// `device_add`. The iommufd object of a device is not among them ([`iommufd_step`]).
///
/// # Errors
/// - If the device is part of the machine, or its bus or driver is known to have no hotplug, then
///   [`NotPluggable`]. QEMU refuses other drivers without hotplug by itself.
/// - If an option has no command, or needs something that QEMU gets at its start alone, then
///   [`NotPluggable`].
/// - If a property is a list and QEMU is older than 9.2, then [`NotPluggable`].
pub fn plug(
    fragment: &Fragment,
    capabilities: &Capabilities,
    resolve: &dyn PlugResolve,
) -> Result<Vec<PlugStep>, NotPluggable> {
    let parts = Parts::new(fragment)?;
    let device = parts.pluggable_device()?;
    parts.check_wants()?;
    let version = capabilities.version();
    if version < LISTS_SINCE && has_list(device) {
        let reason = format!("QEMU {version} takes lists of properties at its start alone");
        return Err(parts.refusal(reason));
    }

    let mut steps: Vec<PlugStep> = Vec::new();
    for part in &parts.before {
        steps.push(part.step(resolve));
    }
    steps.push(PlugStep {
        command: Command::DeviceAdd {
            device: json(device, resolve),
        },
        wants: wants_of(parts.device),
    });
    Ok(steps)
}

/// Returns the commands that take a device out of the guest.
///
/// # Errors
/// If the device is part of the machine, or its bus or driver has no hotplug, then
/// [`NotPluggable`].
pub fn unplug(fragment: &Fragment) -> Result<Unplug, NotPluggable> {
    let parts = Parts::new(fragment)?;
    parts.pluggable_device()?;
    let id = parts.device.id().unwrap_or_default().to_owned();
    Ok(Unplug {
        device: id.clone(),
        request: Command::DeviceDel { id },
        cleanup: parts.cleanup(),
    })
}

/// Returns the commands for the medium of a drive, which stays in the guest.
///
/// # Errors
/// If an option has no command, or needs something that QEMU gets at its start alone, then
/// [`NotPluggable`].
pub fn medium(fragment: &Fragment, resolve: &dyn PlugResolve) -> Result<Medium, NotPluggable> {
    let parts = Parts::new(fragment)?;
    parts.check_wants()?;
    let steps = parts.before.iter().map(|part| part.step(resolve));
    let node = match &parts.device.value {
        Value::Json(device) => device.text("drive"),
        _ => None,
    };
    Ok(Medium {
        steps: steps.collect(),
        node: node.map(str::to_owned),
        cleanup: parts.cleanup(),
    })
}

/// Returns the step that makes an iommufd object. `object-del` with the object's id removes it, and
/// then `remove-fd` closes the descriptor.
pub fn iommufd_step(object: &IommufdObject, resolve: &dyn PlugResolve) -> PlugStep {
    let option = hostdev::managed_iommufd(object.clone());
    let object = match &option.value {
        Value::Json(object) => json(object, resolve),
        _ => serde_json::Value::Null,
    };
    PlugStep {
        command: Command::ObjectAdd { object },
        wants: wants_of(&option),
    }
}

/// Returns the lowest number above those of the block nodes with these names. Names that the
/// sections do not give have no number.
pub fn next_node<'a>(names: impl IntoIterator<Item = &'a str>) -> usize {
    let mut next = 1;
    for name in names {
        let number = name.strip_prefix("libvirt-").and_then(|rest| {
            let (number, _) = rest.split_once('-')?;
            // The names come from the VMM: a larger number is not one of ours.
            number.parse::<u16>().ok()
        });
        if let Some(number) = number {
            next = next.max(usize::from(number) + 1);
        }
    }

    next
}

/// The options of a device, by what becomes of them.
struct Parts<'a> {
    /// The parts that the device needs, in the order in which they are made.
    before: Vec<Part<'a>>,
    /// The `-device`.
    device: &'a Opt,
}

/// An object, block node or host's end of a card.
struct Part<'a> {
    option: &'a Opt,
    object: &'a Object,
    kind: PartKind,
}

#[derive(Clone, Copy)]
enum PartKind {
    Object,
    BlockNode,
    Netdev,
}

impl<'a> Parts<'a> {
    /// Sorts the options of a device.
    fn new(fragment: &'a Fragment) -> Result<Self, NotPluggable> {
        let mut before = Vec::new();
        let mut devices = Vec::new();
        for option in &fragment.options {
            if option.flag == "-device" {
                devices.push(option);
                continue;
            }
            let Some(part) = Part::new(option) else {
                let reason = format!("QEMU takes its option {} at the start alone", option.flag);
                return Err(refusal(fragment, reason));
            };
            before.push(part);
        }

        match devices.as_slice() {
            [device] => Ok(Self { before, device }),
            [] => Err(refusal(fragment, "it is part of the machine".into())),
            [_, _, ..] => Err(refusal(fragment, "it consists of several devices".into())),
        }
    }

    /// Returns the properties of the device, if its driver and its bus have hotplug.
    fn pluggable_device(&self) -> Result<&'a Object, NotPluggable> {
        let Value::Json(device) = &self.device.value else {
            return Err(self.refusal("its options are not JSON".into()));
        };
        if self.device.id().is_none() {
            return Err(self.refusal("it has no id".into()));
        }
        match fixed_reason(device) {
            Some(reason) => Err(self.refusal(reason.into_owned())),
            None => Ok(device),
        }
    }

    /// Checks that a running QEMU can get everything that the options need.
    fn check_wants(&self) -> Result<(), NotPluggable> {
        let options = self.before.iter().map(|part| part.option);
        for want in options.chain([self.device]).flat_map(wants_of) {
            if want.plug_passing().is_none() {
                let kind = want.kind_name();
                let reason = format!("QEMU gets its {kind} '{}' at the start alone", want.name);
                return Err(self.refusal(reason));
            }
        }

        Ok(())
    }

    /// Returns the commands that remove what the device needed, in the reverse order.
    fn cleanup(&self) -> Vec<Command> {
        self.before.iter().rev().map(Part::removal).collect()
    }

    fn refusal(&self, reason: String) -> NotPluggable {
        NotPluggable {
            device: device_name(self.device),
            reason,
        }
    }
}

impl<'a> Part<'a> {
    /// Returns the part that an option makes; `None` if no command makes it.
    fn new(option: &'a Opt) -> Option<Self> {
        let kind = match option.flag {
            "-object" => PartKind::Object,
            "-blockdev" => PartKind::BlockNode,
            "-netdev" => PartKind::Netdev,
            _ => return None,
        };
        match &option.value {
            Value::Json(object) => Some(Self {
                option,
                object,
                kind,
            }),
            _ => None,
        }
    }

    fn step(&self, resolve: &dyn PlugResolve) -> PlugStep {
        let json = json(self.object, resolve);
        let command = match self.kind {
            PartKind::Object => Command::ObjectAdd { object: json },
            PartKind::BlockNode => Command::BlockdevAdd { node: json },
            PartKind::Netdev => Command::NetdevAdd { netdev: json },
        };
        PlugStep {
            command,
            wants: wants_of(self.option),
        }
    }

    fn removal(&self) -> Command {
        let id = self.option.id().unwrap_or_default().to_owned();
        match self.kind {
            PartKind::Object => Command::ObjectDel { id },
            PartKind::BlockNode => Command::BlockdevDel { node_name: id },
            PartKind::Netdev => Command::NetdevDel { id },
        }
    }
}

/// Returns the reason why the driver or the bus of a device has no hotplug; `None` if they have.
fn fixed_reason(device: &Object) -> Option<Cow<'static, str>> {
    let driver = device.text("driver").unwrap_or_default();
    if driver == "vfio-pci-nohotplug" {
        return Some("with ramfb='on' it has the firmware's screen".into());
    }
    if matches!(driver, "ide-hd" | "ide-cd") {
        return Some("a bus of IDE or SATA disks has no hotplug".into());
    }
    match device.text("bus") {
        Some("pcie.0") => Some("the root bus pcie.0 has no hotplug: use a root port".into()),
        Some(_) => None,
        None if matches!(driver, "pc-dimm" | "nvdimm" | "vfio-ap") => None,
        None if device.0.iter().any(|(key, _)| key == "devno") => None,
        None => Some(format!("its driver {driver} is on a bus without hotplug").into()),
    }
}

/// Returns whether a property is a list or an object.
fn has_list(device: &Object) -> bool {
    let mut values = device.0.iter().map(|(_, value)| value);
    values.any(|value| matches!(value, Term::Array(_) | Term::Object(_)))
}

fn wants_of(option: &Opt) -> Vec<Want> {
    let wants = distinct_wants(std::slice::from_ref(option));
    wants.into_iter().cloned().collect()
}

fn refusal(fragment: &Fragment, reason: String) -> NotPluggable {
    let device = fragment.options.iter().rfind(|o| o.flag == "-device");
    NotPluggable {
        device: device.map_or_else(|| "the device".into(), device_name),
        reason,
    }
}

fn device_name(device: &Opt) -> String {
    match (device.id(), device.driver()) {
        (Some(id), _) => format!("device '{id}'"),
        (None, Some(driver)) => format!("a device {driver}"),
        (None, None) => "the device".into(),
    }
}

/// Returns the arguments of a command, as JSON.
fn json(object: &Object, resolve: &dyn PlugResolve) -> serde_json::Value {
    Renderer::new(&Texts(resolve)).object(object)
}

/// The texts of wants of any kind.
struct Texts<'a>(&'a dyn PlugResolve);

impl Resolve for Texts<'_> {
    fn fd(&self, want: &Want) -> String {
        self.0.text(want)
    }

    fn file(&self, want: &Want) -> FileLocation {
        FileLocation::OtherPath(self.0.text(want))
    }
}
