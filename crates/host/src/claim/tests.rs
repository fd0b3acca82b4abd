//! Tests of claims, on file trees.

use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};

use passthru_pci::Address;
use rustix::fs::{FlockOperation, flock};

use crate::record::FormerState;
use crate::test_tree::Tree;
use crate::usage::HeldDisks;
use crate::{Error, Identity, Owner, Record};

fn device() -> Address {
    "0000:01:00.0".parse().unwrap()
}

#[test]
fn second_claim_names_the_owner_of_the_first() {
    let tree = Tree::new();
    let first = tree.host().claim(device(), Some("one")).unwrap();
    let error = tree.host().claim(device(), Some("two")).unwrap_err();
    let expected = format!(
        "0000:01:00.0 belongs to guest one (pid {})",
        std::process::id()
    );

    assert_eq!(error.to_string(), expected);

    drop(first);
    tree.host().claim(device(), Some("two")).unwrap();
}

#[test]
fn claim_ends_with_its_process() {
    let tree = Tree::new();
    tree.host().make_records().unwrap();
    let lock = tree.path("run/passthru/devices/0000:01:00.0.lock");
    let script = "exec 9>\"$1\"; flock 9; echo '{\"guest\":\"other\",\"pid\":7}' >&9; echo; \
                  exec sleep 60";
    let mut command = Command::new("sh");
    let command = command
        .args(["-c", script, "sh"])
        .arg(&lock)
        .stdout(Stdio::piped());
    let mut holder = command.spawn().unwrap();
    holder
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0])
        .unwrap();
    let owner = Owner {
        guest: Some("other".into()),
        pid: 7,
    };

    assert_eq!(tree.host().owner(device()), Some(owner));

    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(tree.host().owner(device()), None);
}

#[test]
fn query_for_the_owner_does_not_fail_a_claim() {
    let tree = Tree::new();
    drop(tree.host().claim(device(), Some("one")).unwrap());
    let looking = File::open(tree.path("run/passthru/devices/0000:01:00.0.lock")).unwrap();
    flock(&looking, FlockOperation::NonBlockingLockShared).unwrap();
    let host = tree.host().with_wait(std::time::Duration::from_secs(40));
    let waiting = std::thread::spawn(move || host.claim(device(), Some("two")).map(drop));
    std::thread::sleep(std::time::Duration::from_millis(30));
    drop(looking);
    waiting.join().unwrap().unwrap();
}

#[test]
fn record_of_an_absent_device_is_kept() {
    let tree = Tree::new();
    let claim = tree.host().claim(device(), Some("one")).unwrap();
    assert_eq!(claim.restore(false).unwrap(), None);

    let former = FormerState {
        driver: None,
        driver_override: None,
    };
    tree.host()
        .write_record(&claim.new_record("vfio-pci", former))
        .unwrap();
    let error = claim.restore(false).unwrap_err();
    assert!(matches!(error, Error::Absent { .. }), "{error}");
    assert!(tree.host().record(device()).unwrap().is_some());
}

#[test]
fn device_that_returns_in_time_is_given_back() {
    let (tree, _) = bound_by_hand();
    let link = tree.path("sys/bus/pci/devices/0000:01:00.0");
    let target = fs::read_link(&link).unwrap();
    fs::remove_file(&link).unwrap();
    let host = tree.host().with_wait(std::time::Duration::from_secs(40));
    let claim = host.claim(device(), Some("one")).unwrap();
    let back = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(30));
        std::os::unix::fs::symlink(target, link).unwrap();
    });
    let error = claim.restore(false).unwrap_err();
    back.join().unwrap();

    assert!(matches!(error, Error::WrongDriver { wanted: Some(driver), .. } if driver == "igb"));
}

#[test]
fn other_device_does_not_get_the_old_driver() {
    let (tree, record) = bound_by_hand();
    let other = Identity {
        device: 7,
        ..record.identity.clone().unwrap()
    };
    tree.host()
        .write_record(&Record {
            identity: Some(other),
            ..record
        })
        .unwrap();
    tree.file("sys/bus/pci/drivers_probe", "");
    let claim = tree.host().claim(device(), None).unwrap();
    claim.restore(false).unwrap();

    assert!(!is_bound_to(&tree, "igb"));

    let probed = fs::read_to_string(tree.path("sys/bus/pci/drivers_probe")).unwrap();
    assert_eq!(probed, "0000:01:00.0");
    assert_eq!(tree.host().record(device()).unwrap(), None);
}

#[test]
fn device_moved_by_the_host_goes_back_to_its_new_driver() {
    let (tree, _) = bound_by_hand();
    let driver = tree.path("sys/devices/pci/0000:01:00.0/driver");
    fs::remove_file(&driver).unwrap();
    tree.link(
        "sys/devices/pci/0000:01:00.0/driver",
        "../../../bus/pci/drivers/e1000e",
    );
    for file in ["e1000e/unbind", "e1000e/bind"] {
        tree.file(&format!("sys/bus/pci/drivers/{file}"), "");
    }
    let request = crate::Request::managed(device());
    let change = tree.host().change(&request).unwrap().unwrap();

    assert_eq!(change.back.as_deref(), Some("e1000e"));

    let claim = tree.host().claim(device(), Some("guest")).unwrap();
    claim.bind("vfio-pci", HeldDisks::default()).unwrap_err();
    assert!(!is_bound_to(&tree, "igb"));
}

/// Makes a device that was bound by hand: it is on `vfio-pci` and was on `igb`. Writes to the files
/// of the tree move nothing.
fn bound_by_hand() -> (Tree, Record) {
    let tree = Tree::new();
    let dir = tree.pci("0000:01:00.0", 0x020000);
    tree.place("0000:01:00.0", Some("vfio-pci"), 1);
    tree.file(&format!("{dir}/driver_override"), "vfio-pci\n");
    for file in [
        "vfio-pci/unbind",
        "vfio-pci/bind",
        "mlx5_vfio_pci/bind",
        "igb/bind",
    ] {
        tree.file(&format!("sys/bus/pci/drivers/{file}"), "");
    }

    let former = FormerState {
        driver: Some("igb".into()),
        driver_override: None,
    };
    let record = tree
        .host()
        .claim(device(), None)
        .unwrap()
        .new_record("vfio-pci", former);
    tree.host().write_record(&record).unwrap();
    (tree, record)
}

fn is_bound_to(tree: &Tree, driver: &str) -> bool {
    let bind = tree.path(&format!("sys/bus/pci/drivers/{driver}/bind"));
    !fs::read_to_string(bind).unwrap().is_empty()
}

#[test]
fn device_bound_by_hand_is_bound_again_after_a_guest() {
    let (tree, by_hand) = bound_by_hand();
    let claim = tree.host().claim(device(), Some("guest")).unwrap();
    let error = claim
        .bind("mlx5_vfio_pci", HeldDisks::default())
        .unwrap_err();
    assert!(matches!(error, Error::WrongDriver { .. }), "{error}");
    assert_eq!(tree.host().record(device()).unwrap(), Some(by_hand));
    assert!(is_bound_to(&tree, "mlx5_vfio_pci") && !is_bound_to(&tree, "igb"));
}

#[test]
fn release_of_a_crashed_guest_skips_the_bind_by_hand() {
    let (tree, by_hand) = bound_by_hand();
    let claim = tree.host().claim(device(), Some("crashed")).unwrap();
    let host = tree.host();
    let (former, earlier) =
        FormerState::before_taking(&host.device(device()).unwrap(), Some(by_hand));
    host.write_record(&Record {
        earlier,
        ..claim.new_record("mlx5_vfio_pci", former)
    })
    .unwrap();
    let error = claim.release(false).unwrap_err();

    assert!(matches!(error, Error::WrongDriver { wanted: Some(driver), .. } if driver == "igb"));
    assert!(is_bound_to(&tree, "igb"));
}

#[test]
fn device_on_a_host_driver_is_not_touched() {
    let tree = Tree::new();
    tree.pci("0000:01:00.0", 0x020000);
    tree.place("0000:01:00.0", Some("igb"), 1);
    let claim = tree.host().claim(device(), None).unwrap();
    assert_eq!(claim.restore(false).unwrap().as_deref(), Some("igb"));
}

#[test]
fn steps_of_a_request_are_listed_without_a_claim() {
    let tree = Tree::new();
    let dir = tree.pci("0000:01:00.0", 0x010802);
    tree.place("0000:01:00.0", Some("nvme"), 1);
    tree.file(&format!("{dir}/driver_override"), "(null)\n");
    let host = tree.host();
    let request = crate::Request::managed("01:00.0".parse().unwrap());
    let steps = host.steps_for(&request, Some("web")).unwrap();
    let texts: Vec<String> = steps.iter().map(ToString::to_string).collect();

    assert_eq!(
        texts,
        [
            "record nvme as the driver to go back to",
            "set driver_override to vfio-pci",
            "unbind from nvme",
            "bind to vfio-pci"
        ]
    );
    assert!(!tree.path("run").exists());

    let claim = host.claim(request.address, Some("web")).unwrap();
    assert_eq!(claim.steps_to("vfio-pci").unwrap(), steps);

    let unmanaged = crate::Request::unmanaged(request.address);
    assert!(host.steps_for(&unmanaged, None).unwrap().is_empty());

    let on_host_driver = crate::Request {
        driver: Some("nvme".into()),
        ..request
    };
    let error = host.steps_for(&on_host_driver, None).unwrap_err();
    assert!(matches!(error, Error::NotVfio { .. }), "{error}");
}
