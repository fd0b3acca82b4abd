//! Starts that are entered in records, and checks against those records.

use std::fs;
use std::path::Path;

use passthru_host::Host;
use tempfile::TempDir;

use super::*;
use crate::FolderError;
use crate::start::check::{check, check_host, check_identities, start_notes};
use crate::start::ids::UidRange;
use crate::start::user::User;

const NVME: &str = "0000:01:00.0";

fn add_device(root: &Path, address: &str, serial: Option<&str>) {
    let dir = root.join("sys/bus/pci/devices").join(address);
    fs::create_dir_all(dir.join("nvme/nvme0")).unwrap();
    for (file, text) in [
        ("vendor", "0x1b36"),
        ("device", "0x0010"),
        ("class", "0x010802"),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }

    fs::write(dir.join("nvme/nvme0/serial"), serial.unwrap_or_default()).unwrap();
}

fn host(serial: Option<&str>) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("proc")).unwrap();
    add_device(root.path(), NVME, serial);
    root
}

fn plan(root: &Path, name: &str, user: User) -> StartPlan {
    let xml = format!(
        "<domain type='kvm'><name>{name}</name><memory>1048576</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os><devices><hostdev mode='subsystem' \
         type='pci' managed='yes'><source>\
         <address domain='0' bus='1' slot='0' function='0'/></source>\
         </hostdev></devices></domain>"
    );
    StartPlan::for_test(&xml, root, user)
}

fn own(uid: u32) -> User {
    User::own(Ids { uid, gid: uid })
}

fn start(plan: &StartPlan, root: &Path) -> Result<(), Error> {
    let identities = check_identities(plan, &Host::at(root))?;
    write_record(plan, identities, &|| false)
}

#[test]
fn another_device_is_refused_until_accepted() {
    let root = host(Some("A"));
    let mut plan = plan(root.path(), "vm", own(7));
    start(&plan, root.path()).unwrap();
    start(&plan, root.path()).unwrap();

    add_device(root.path(), NVME, Some("B"));
    add_device(root.path(), "0000:02:00.0", Some("A"));
    let error = start(&plan, root.path()).unwrap_err();
    let Error::NewDevice { moved_to, .. } = &error else {
        panic!("{error}")
    };

    assert_eq!(*moved_to, Some("02:00.0".parse().unwrap()));

    let text = error.to_string();
    assert!(
        text.contains("serial B") && text.contains("serial A"),
        "{text}"
    );

    plan.accept_new_device = true;
    start(&plan, root.path()).unwrap();
    plan.accept_new_device = false;
    start(&plan, root.path()).unwrap();
}

#[test]
fn cards_that_cannot_be_told_apart_are_noted() {
    let root = host(Some("A"));
    let plan = plan(root.path(), "vm", own(7));
    start(&plan, root.path()).unwrap();
    let host = Host::at(root.path());

    assert!(start_notes(&plan, &host).is_empty());

    add_device(root.path(), NVME, None);
    assert!(start_notes(&plan, &host).is_empty());

    add_device(root.path(), "0000:02:00.0", None);
    let notes = start_notes(&plan, &host);
    assert!(
        notes[0].starts_with("cannot tell 0000:01:00.0 from 0000:02:00.0"),
        "{notes:?}"
    );
}

#[test]
fn failed_start_restores_the_former_record() {
    let root = host(Some("A"));
    let mut plan = plan(root.path(), "vm", own(7));
    let records = plan.records.clone();
    start(&plan, root.path()).unwrap();
    restore_record(&records, "vm", None).unwrap();

    assert_eq!(records.read("vm").unwrap(), None);

    restore_record(&records, "vm", None).unwrap();

    start(&plan, root.path()).unwrap();
    let former = records.read("vm").unwrap();
    plan.accept_new_device = true;
    add_device(root.path(), NVME, Some("B"));
    start(&plan, root.path()).unwrap();
    assert_ne!(records.read("vm").unwrap(), former);

    restore_record(&records, "vm", former.as_ref()).unwrap();
    assert_eq!(records.read("vm").unwrap(), former);
}

#[test]
fn id_that_another_guest_took_meanwhile_is_refused() {
    let root = host(None);
    let one = plan(root.path(), "one", own(7));
    let two = plan(root.path(), "two", own(7));
    start(&one, root.path()).unwrap();
    let error = start(&two, root.path()).unwrap_err();

    assert!(
        matches!(error, Error::Record(RecordError::UidTaken { uid: 7 })),
        "{error}"
    );
}

#[test]
fn starts_at_once_get_different_ids() {
    let root = host(None);
    let path = root.path();
    let range: UidRange = "2100000000-2100000007".parse().unwrap();
    let take = |name: String| loop {
        let records = Records::new(path.join("guests"));
        let user = User::for_guest(&name, &records, range, &Host::at(path)).unwrap();
        let uid = user.uid();
        match start(&plan(path, &name, user), path) {
            Ok(()) => return uid,
            Err(Error::Record(RecordError::UidTaken { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let mut uids: Vec<u32> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|n| scope.spawn(move || take(format!("vm{n}"))))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    });
    uids.sort_unstable();

    assert_eq!(uids, (2_100_000_000..2_100_000_008).collect::<Vec<_>>());
}

#[test]
fn plan_is_refused_while_an_old_vmm_may_live() {
    let root = host(None);
    let plan = plan(root.path(), "vm", own(7));
    let folder = root.path().join("run/domain-vm");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("journal"), "{\n").unwrap();
    let error = check(&plan, &Host::at(root.path())).unwrap_err();

    assert!(
        matches!(error, Error::Folder(FolderError::BadJournal { .. })),
        "{error}"
    );
}

#[test]
fn named_user_belongs_to_one_guest_unless_shared() {
    let root = host(None);
    let daemon = User::named("daemon").unwrap();
    let one = plan(root.path(), "one", daemon.clone());
    let mut two = plan(root.path(), "two", daemon);
    start(&one, root.path()).unwrap();
    let error = start(&two, root.path()).unwrap_err();

    assert_eq!(
        error.to_string(),
        "the user 'daemon' belongs to guest 'one'"
    );
    assert!(check_host(&two, &Host::at(root.path())).is_err());

    two.share_user = true;
    start(&two, root.path()).unwrap();
    // With a user of its own again, the guest lets the other one go.
    let one = plan(root.path(), "one", own(7));
    start(&one, root.path()).unwrap();
    let record = one.records.read("one").unwrap().unwrap();
    assert_eq!(
        (record.own.map(|ids| ids.uid), record.named),
        (Some(7), None)
    );
}
