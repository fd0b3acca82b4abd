//! Plans of attaches and detaches on type1.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use passthru_domain::{Arch, DeviceDocument};
use passthru_qemu::Capabilities;
use tempfile::TempDir;

use super::tests::{add_device, hostdev, plan};
use super::*;
use crate::op::ledger::Ledger;
use crate::op::op::Op;
use crate::op::world::World;
use crate::plan::attach_plan::{AttachPlan, AttachSettings};
use crate::plan::detach_plan::DetachPlan;
use crate::plan::handover::Handover;
use crate::plan::hotplug::Hotplug;
use crate::run::folder::GuestFolder;
use crate::start::record::Records;
use crate::start::user::User;
use crate::transaction::{HotplugError, Step};

/// A guest whose device 0000:05:00.0 is on type1, in group 12.
struct Live {
    root: TempDir,
    domain: Domain,
    hotplug: Hotplug,
    ledger: Ledger,
}

impl Live {
    /// Returns a guest with these devices.
    fn new(devices: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (bus, group) in [(5, 12), (6, 12), (7, 13)] {
            add_device(root.path(), bus, group);
        }
        let ports = "<controller type='pci' model='pcie-root-port'/>".repeat(6);
        let domain = plan(root.path(), &(devices.to_owned() + &ports)).domain;
        let capabilities = Capabilities::builtin(Arch::X86_64);
        let hotplug = Hotplug::new(&domain, &Handover::default(), capabilities);
        let folder = GuestFolder::lock(&root.path().join("run"), "vm").unwrap();
        let records = Records::new(root.path().join("guests"));
        let user = User::choose(None).unwrap();
        let world = World::new(&Host::at(root.path()), user, records, folder);
        Self {
            root,
            domain,
            hotplug,
            ledger: Ledger::new(world),
        }
    }

    /// Gives the VMM a folder of its own.
    fn with_folder(mut self) -> Self {
        self.ledger.world().vfio = Some(own_folder(self.root.path()));
        self
    }

    fn attach(&mut self, device: &str) -> Result<Vec<Op>, Error> {
        let plan = self.plan(device)?;
        let mut ops = Vec::new();
        for step in plan.steps {
            if let Step::Do(op) = step {
                ops.push(op);
            }
        }

        Ok(ops)
    }

    fn plan(&mut self, device: &str) -> Result<AttachPlan, Error> {
        let document = DeviceDocument::parse(device).unwrap();
        let settings = AttachSettings::default();
        let Self {
            domain,
            hotplug,
            ledger,
            ..
        } = self;
        AttachPlan::new(document, settings, domain, hotplug, ledger, None)
    }
}

fn own_folder(root: &Path) -> OwnedFd {
    File::open(root).unwrap().into()
}

/// Returns the groups whose nodes the operations add.
fn added_nodes(ops: &[Op]) -> Vec<u32> {
    let mut groups = Vec::new();
    for op in ops {
        if let Op::AddVfioNode { group, .. } = op {
            groups.push(*group);
        }
    }

    groups
}

#[test]
fn attached_device_brings_the_node_of_its_group() {
    let mut guest = Live::new(&hostdev(5, "no")).with_folder();
    let ops = guest.attach(&hostdev(7, "no")).unwrap();
    assert_eq!(added_nodes(&ops), [13]);

    let Some(Op::AddDevice { options, .. }) = ops.last() else {
        panic!("{ops:?}")
    };
    assert_eq!(options["host"], "0000:07:00.0");
    assert!(options.get("fd").is_none(), "{options}");

    let ops = guest.attach(&hostdev(6, "no")).unwrap();
    assert!(
        added_nodes(&ops).is_empty(),
        "the VMM has the node of group 12"
    );
}

#[test]
fn attached_device_follows_the_backend_of_the_others() {
    let mut guest = Live::new(&hostdev(5, "no")).with_folder();
    let unset = hostdev(7, "no").replace("<driver iommufd='no'/>", "");
    assert_eq!(added_nodes(&guest.attach(&unset).unwrap()), [13]);

    let plan = guest.plan(&unset).unwrap();
    let note = "backend type1 for the devices that name none: 0000:05:00.0 of the guest has it";
    let last = plan.notes.last().unwrap();
    assert!(last.message.starts_with(note), "{last:?}");

    let refused = guest.attach(&hostdev(7, "yes")).unwrap_err().to_string();
    assert!(refused.contains("QEMU ends at such a mixture"), "{refused}");
}

#[test]
fn vmm_without_own_folder_gets_no_type1_device() {
    let mut guest = Live::new("");
    let refused = guest.attach(&hostdev(7, "no")).unwrap_err().to_string();
    assert!(refused.contains("no /dev/vfio of its own"), "{refused}");
}

#[test]
fn detached_device_takes_the_node_of_its_group_along() {
    let Live {
        root: _root,
        domain,
        hotplug,
        ledger,
    } = Live::new(&hostdev(5, "no")).with_folder();
    let plan = DetachPlan::new("0000:05:00.0", &domain, &hotplug, &ledger).unwrap();
    assert!(
        matches!(
            &plan.steps[..],
            [
                Step::Do(Op::RemoveDevice { .. }),
                Step::Do(Op::RemoveVfioNode { group: 12 })
            ]
        ),
        "{:?}",
        plan.steps
    );
}

#[test]
fn device_of_a_group_that_stays_open_is_not_detached() {
    let Live {
        root: _root,
        domain,
        hotplug,
        ledger,
    } = Live::new(&(hostdev(5, "no") + &hostdev(6, "no"))).with_folder();
    let refused = DetachPlan::new("0000:05:00.0", &domain, &hotplug, &ledger).unwrap_err();
    assert!(
        matches!(&refused, HotplugError::GroupStays { group: 12, other, .. }
            if other.to_string() == "0000:06:00.0"),
        "{refused}"
    );
}
