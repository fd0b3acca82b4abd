//! Tests of a guest that runs.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use passthru_host::{Host, Request};
use passthru_pci::Address;

use passthru_qemu::Capabilities;

use super::*;
use crate::op::world::World;
use crate::plan::handover::Handover;
use crate::run::folder::GuestFolder;
use crate::run::machine::tests::machine;
use crate::start::record::Records;
use crate::start::user::User;

const NIC: &str = "0000:01:00.0";
/// Script of a VMM that notes at its end whether its device is claimed and its folder exists.
const NOTING: &str = "echo ready >> \"$0\"; cd \"${0%/*}\"
    while ! read -r line; do sleep 0.01; done
    until [ -e lock ]; do sleep 0.01; done
    flock -n lock true && echo free >> notes || echo claimed >> notes
    [ -d run/domain-vm ] && echo folder >> notes || echo none >> notes";

/// Returns a guest of a machine, with its folder below `root`. With `device`, the guest has
/// that device.
pub(crate) fn guest(machine: Machine, host: &Host, root: &Path, device: Option<&str>) -> Guest {
    let domain = "<domain type='kvm'><name>vm</name><memory>1024</memory>\
         <os><type>hvm</type></os></domain>";
    let domain = Domain::parse(domain).unwrap();
    let run = root.join("run");
    let folder = GuestFolder::lock(&run, "vm").unwrap();
    let path = folder.path().to_owned();
    let records = Records::new(root.join("guests"));
    let world = World::new(host, User::choose(None).unwrap(), records, folder);
    let mut ledger = Ledger::new(world);
    // The manager's process is on the real `/proc`.
    let made = ledger.perform(Op::MakeGuestFolder { path }, |_, world, _| {
        world.host = Host::new();
        Ok(world.folder.make()?)
    });
    made.unwrap();
    ledger.world().host = host.clone();
    if let Some(device) = device {
        take(&mut ledger, device.parse().unwrap());
    }

    Guest {
        hotplug: Hotplug::new(
            &domain,
            &Handover::default(),
            Capabilities::builtin(passthru_domain::Arch::X86_64),
        ),
        machine,
        ledger,
        uid: 0,
        console: None,
        lifecycle: Lifecycle::from_domain(&domain),
        memlock: Memlock::for_domain(&domain, &|_| 0),
        domain,
    }
}

/// Claims a device for the guest of a ledger.
fn take(ledger: &mut Ledger, device: Address) {
    let op = Op::Claim {
        device,
        driver: None,
        stays: true,
    };
    let claimed = ledger.perform(op, |_, world, _| {
        let requests = [Request::unmanaged(device)];
        let mut assignment = world.host.begin_assignment(&requests, Some("vm"), true)?;
        assignment.claim(device)?;
        world.assignment = Some(assignment);
        Ok(())
    });
    claimed.unwrap();
}

/// Returns a host with a device on `vfio-pci`.
fn host(root: &Path) -> Host {
    let dir = root.join("sys/bus/pci/devices").join(NIC);
    fs::create_dir_all(root.join("proc")).unwrap();
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in [
        ("vendor", "0x1b36"),
        ("device", "0x0010"),
        ("class", "0x020000"),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }

    for (link, target) in [
        ("driver", "../../drivers/vfio-pci"),
        ("iommu_group", "../../../../kernel/iommu_groups/1"),
        ("iommu", "../../../../class/iommu/dmar0"),
    ] {
        std::os::unix::fs::symlink(target, dir.join(link)).unwrap();
    }

    let devices = root.join("sys/kernel/iommu_groups/1/devices");
    fs::create_dir_all(&devices).unwrap();
    std::os::unix::fs::symlink(&dir, devices.join(NIC)).unwrap();
    Host::at(root)
}

#[test]
fn panic_at_the_end_ends_the_vmm_first() {
    let (machine, folder) = machine(NOTING, true);
    let host = host(folder.path());
    let guest = guest(machine, &host, folder.path(), Some(NIC));
    let lock = folder
        .path()
        .join("run/passthru/devices")
        .join(format!("{NIC}.lock"));
    std::os::unix::fs::symlink(lock, folder.path().join("lock")).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        guest.finish_after(|_| resume_unwind(Box::new(())))
    }));

    assert!(panicked.is_err());

    let notes = fs::read_to_string(folder.path().join("notes")).unwrap();
    assert_eq!(notes, "ready\nclaimed\nfolder\n");
    assert_eq!(host.owner(NIC.parse().unwrap()), None);
    assert!(!folder.path().join("run/domain-vm").exists());
}
