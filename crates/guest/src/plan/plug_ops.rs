//! The operations that give a running VMM one device: files, parts, and the device itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use passthru_domain::Domain;
use passthru_domain::device::Item;
use passthru_pci::Address;
use passthru_qemu::monitor::Command;
use passthru_qemu::{
    Access, FilePassing, Fragment, PlugPassing, PlugResolve, PlugStep, Want, WantKind, medium,
    plug, plug_fragment,
};
use serde_json::Value;

use crate::op::op::{Op, PartKind};
use crate::plan::hotplug::Hotplug;
use crate::transaction::HotplugError;

/// Numbers of the fd sets of a device's files and descriptors, by the names of the wants.
struct Sets(BTreeMap<String, u32>);

impl PlugResolve for Sets {
    /// Returns the file of a set. The number of a single descriptor is known only once the VMM has
    /// the descriptor.
    fn text(&self, want: &Want) -> String {
        match (want.plug_passing(), self.0.get(&want.name)) {
            (Some(PlugPassing::FdSet), Some(set)) => format!("/dev/fdset/{set}"),
            _ => String::new(),
        }
    }
}

/// Device of a document that is plugged into a running guest.
pub(crate) struct PluggedDevice<'a> {
    pub(crate) domain: &'a Domain,
    pub(crate) item: Item,
    pub(crate) alias: &'a str,
    /// Address on the host, if the device is one of the host's.
    pub(crate) address: Option<Address>,
    /// Images that only a header of another image names.
    pub(crate) header_named: &'a BTreeSet<PathBuf>,
}

impl PluggedDevice<'_> {
    /// Returns the operations that give the device to the VMM, in their order.
    ///
    /// # Errors
    /// If a running QEMU cannot get the device or one of its files, then [`HotplugError`].
    pub(crate) fn ops(&self, hotplug: &mut Hotplug) -> Result<Vec<Op>, HotplugError> {
        let (fragment, sets) = self.fragment(hotplug)?;
        let steps = plug(&fragment, &hotplug.capabilities, &sets)?;
        self.ops_of_steps(steps, &sets)
    }

    /// Returns the operations that make the parts of a drive's new medium, and the name of its
    /// block node; `None` for an empty drive.
    ///
    /// # Errors
    /// If a running QEMU cannot get one of its files, then [`HotplugError`].
    pub(crate) fn medium_ops(
        &self,
        hotplug: &mut Hotplug,
    ) -> Result<(Vec<Op>, Option<String>), HotplugError> {
        let (fragment, sets) = self.fragment(hotplug)?;
        let medium = medium(&fragment, &sets)?;
        let ops = self.ops_of_steps(medium.steps, &sets)?;
        Ok((ops, medium.node))
    }

    /// Returns the options of the device, and the fd sets of what they need.
    fn fragment(&self, hotplug: &mut Hotplug) -> Result<(Fragment, Sets), HotplugError> {
        let first_node = hotplug.next_node();
        let fragment = plug_fragment(self.domain, &hotplug.capabilities, self.item, first_node)?;
        hotplug.use_up_nodes(&fragment);
        let mut sets = Sets(BTreeMap::new());
        for want in fragment.wants() {
            sets.0.insert(want.name.clone(), hotplug.take_set());
        }

        Ok((fragment, sets))
    }

    fn ops_of_steps(&self, steps: Vec<PlugStep>, sets: &Sets) -> Result<Vec<Op>, HotplugError> {
        let mut ops = Vec::new();
        let mut passed = BTreeSet::new();
        for step in steps {
            for want in &step.wants {
                if passed.insert(want.name.clone())
                    && let Some(set) = sets.0.get(&want.name)
                {
                    ops.extend(self.pass(want, *set)?);
                }
            }
            ops.push(self.add(step.command)?);
        }

        Ok(ops)
    }

    /// Returns the operations that pass a file or descriptor.
    fn pass(&self, want: &Want, set: u32) -> Result<Vec<Op>, HotplugError> {
        let ops = match &want.kind {
            WantKind::Vfio {
                host, given: None, ..
            } => vec![Op::PassDevice { device: *host, set }],
            WantKind::NodeSet { path } => vec![self.pass_file(path, true, set)],
            WantKind::File {
                path,
                access,
                passing: FilePassing::FdSet,
            } => {
                let mut ops = vec![self.pass_file(path, false, set)];
                if *access == Access::ReadWrite {
                    ops.push(self.pass_file(path, true, set));
                }
                ops
            }
            _ => {
                let kind = want.kind_name();
                return Err(self.unsupported(format!("its {kind} is taken at the start alone")));
            }
        };
        Ok(ops)
    }

    fn pass_file(&self, path: &str, write: bool, set: u32) -> Op {
        Op::PassFile {
            alias: self.alias.into(),
            path: path.into(),
            write,
            as_user: self.header_named.contains(Path::new(path)),
            set,
        }
    }

    /// Returns the operation of a command.
    fn add(&self, command: Command) -> Result<Op, HotplugError> {
        let (kind, options) = match command {
            Command::DeviceAdd { device } => return Ok(self.add_device(device)),
            Command::ObjectAdd { object } => (PartKind::Object, object),
            Command::BlockdevAdd { node } => (PartKind::Node, node),
            Command::NetdevAdd { netdev } => (PartKind::Netdev, netdev),
            other => {
                let name = other.name();
                return Err(self.unsupported(format!("it needs the command {name}")));
            }
        };
        let id = options.get("id").or_else(|| options.get("node-name"));
        let id = id.and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Op::AddPart {
            alias: self.alias.into(),
            kind,
            id,
            options,
        })
    }

    fn add_device(&self, mut options: Value) -> Op {
        if let (Some(_), Value::Object(members)) = (self.address, &mut options) {
            members.remove("fd");
        }
        Op::AddDevice {
            alias: self.alias.into(),
            device: self.address,
            options,
        }
    }

    fn unsupported(&self, reason: String) -> HotplugError {
        HotplugError::Unsupported {
            device: self.domain.devices.describe(self.item),
            reason,
        }
    }
}
