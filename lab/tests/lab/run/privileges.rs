//! Identity and privileges of a running QEMU.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use passthru_lab::devices::NVME;
use passthru_lab::{Finished, host, run};

use super::support::{Domain, Running};

/// Script that prints `ready` and waits.
pub(super) const WAIT: &str = "echo ready; while true; do sleep 1; done";

fn status(pid: u32) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn open_files(pid: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    links
        .filter_map(|e| Some(fs::read_link(e.path()).ok()?.to_str()?.to_owned()))
        .collect()
}

fn memlock(pid: u32) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max locked memory"))
        .unwrap();
    line.split_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .expect("a number, not unlimited")
}

/// Returns whether an unprivileged process could open a path by itself.
fn nobody_can_open(path: &str) -> bool {
    let line = format!("exec 9<>{path}");
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--no-new-privs",
        "bash",
        "-c",
        &line,
    ]);
    run(&mut command).status.success()
}

/// Returns the user id in a guest's record.
fn recorded_uid(name: &str) -> u32 {
    let text = fs::read_to_string(format!("/var/lib/passthru/guests/{name}.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    u32::try_from(record["own"]["uid"].as_u64().unwrap()).unwrap()
}

fn check_identity(vmm: u32, name: &str) {
    let status = status(vmm);
    let uid = recorded_uid(name);
    assert!((2_100_000_000..=2_100_065_535).contains(&uid), "{uid}");
    for ids in ["Uid", "Gid"] {
        assert_eq!(status[ids], format!("{uid}\t{uid}\t{uid}\t{uid}"), "{ids}");
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    assert_eq!(status["NoNewPrivs"], "1");
    assert_eq!(status["Groups"], "");
    let limit = memlock(vmm);
    assert!(limit > 256 << 20 && limit < 512 << 20, "memlock {limit}");
}

fn check_descriptors(vmm: u32) {
    let open = open_files(vmm);
    // The caller has /etc/passwd open, which must not leak.
    for (path, expected) in [
        ("/dev/iommu", 1),
        ("/dev/vfio/devices/", 1),
        ("/etc/passwd", 0),
    ] {
        let count = open.iter().filter(|file| file.starts_with(path)).count();
        assert_eq!(count, expected, "{path}: {open:?}");
    }

    let cdev = open
        .iter()
        .find(|p| p.starts_with("/dev/vfio/devices/"))
        .unwrap();
    assert!(!nobody_can_open("/dev/iommu"));
    assert!(!nobody_can_open(cdev));
    assert!(
        nobody_can_open("/dev/null"),
        "the check itself must be able to say yes"
    );
}

fn manager_lets_go(running: &Running) {
    let open = open_files(running.manager());
    let held: Vec<_> = open
        .iter()
        .filter(|p| p.starts_with("/dev/vfio/") || p.starts_with("/dev/iommu"))
        .collect();
    assert!(held.is_empty(), "the manager keeps {held:?}");
}

#[test]
fn qemu_runs_as_the_guests_user_with_its_descriptors() {
    let _ = host();
    let domain = Domain::new("private")
        .hostdev(NVME, "<driver iommufd='yes'/>", "")
        .script(WAIT);
    // A descriptor that the caller's shell left open must not reach QEMU.
    let leaked = fs::File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let running = domain.start(&["--stop-timeout", "1"]);
    let vmm = running.vmm();
    check_identity(vmm, "private");
    check_descriptors(vmm);
    manager_lets_go(&running);
    running.signal(running.manager(), "-INT");

    assert_eq!(running.wait(), Some(0));
}

#[test]
fn system_user_is_accepted_and_root_refused() {
    let _ = host();
    let domain = Domain::new("users").hostdev(NVME, "<driver iommufd='yes'/>", "");
    let steps = domain
        .run(&["--dry-run", "--user", "daemon"])
        .expect_success()
        .stdout;
    assert!(steps.contains("as daemon (uid 1)"), "{steps}");
    for root in ["root", "0"] {
        let refused = domain.run(&["--user", root]).expect_failure();
        assert_eq!(refused.status.code(), Some(2), "{refused}");
        assert!(refused.stderr.contains("must not be root"), "{refused}");
    }

    for nobody in ["nobody", "65534"] {
        let refused = domain.run(&["--user", nobody]).expect_failure();
        assert_eq!(refused.status.code(), Some(2), "{refused}");
        assert!(refused.stderr.contains("must not be nobody"), "{refused}");
    }

    let unknown = domain.run(&["--user", "no-such-user"]).expect_failure();
    assert!(
        unknown.stderr.contains("no user 'no-such-user'"),
        "{unknown}"
    );
}

/// Runs a dry run with this configuration.
fn dry_run_with(domain: &Domain, configuration: &str) -> Finished {
    fs::write("/tmp/config.toml", configuration).unwrap();
    domain.run(&["--dry-run", "--config", "/tmp/config.toml"])
}

#[test]
fn configured_user_and_range_are_used_and_checked() {
    let _ = host();
    let domain = Domain::new("defaults").hostdev(NVME, "<driver iommufd='yes'/>", "");
    let steps = dry_run_with(&domain, "user = \"daemon\"\n")
        .expect_success()
        .stdout;
    assert!(steps.contains("as daemon (uid 1)"), "{steps}");

    let steps = dry_run_with(&domain, "uid-range = \"2100070000-2100070000\"\n")
        .expect_success()
        .stdout;
    assert!(
        steps.contains("as a user of its own (uid 2100070000)"),
        "{steps}"
    );
    for (text, said) in [
        ("usr = \"daemon\"\n", "usr"),
        ("user = \"nobody\"\n", "must not be nobody"),
        ("uid-range = \"60000-70000\"\n", "65534 stands for nobody"),
    ] {
        let refused = dry_run_with(&domain, text);
        assert_eq!(refused.status.code(), Some(2), "{refused}");
        assert!(refused.stderr.contains(said), "{refused}");
    }

    // A dry run records nothing.
    assert!(!Path::new("/var/lib/passthru/guests/defaults.json").exists());
}

#[test]
fn guests_share_a_user_only_on_request() {
    let _ = host();
    let stop = ["--stop-timeout", "1"];
    let one = Domain::new("one").script(WAIT);
    let two = Domain::new("two").script(WAIT);
    let first = one.start(&stop);
    let second = two.start(&stop);

    assert_ne!(status(first.vmm())["Uid"], status(second.vmm())["Uid"]);
    assert_ne!(recorded_uid("one"), recorded_uid("two"));

    let refused = run(Command::new("passthru").args(["forget", "one"])).expect_failure();
    assert!(
        refused.stderr.contains("'one' is running already"),
        "{refused}"
    );
    for running in [first, second] {
        running.signal(running.manager(), "-TERM");
        assert_eq!(running.wait(), Some(0));
    }

    share_one_user(&one, &two);
    let forgotten = run(Command::new("passthru").args(["forget", "one", "two"])).expect_success();
    assert!(
        forgotten.stdout.starts_with("one is forgotten; user id 21"),
        "{forgotten}"
    );
    assert!(!Path::new("/var/lib/passthru/guests/one.json").exists());
}

fn share_one_user(one: &Domain, two: &Domain) {
    let first = one.start(&["--stop-timeout", "1", "--user", "daemon"]);
    let refused = two.run(&["--user", "daemon"]);
    assert_eq!(refused.status.code(), Some(4), "{refused}");
    assert!(
        refused.stderr.contains("'daemon' belongs to guest 'one'"),
        "{refused}"
    );
    assert!(refused.stderr.contains("--share-user"), "{refused}");
    let _ = two
        .run(&["--dry-run", "--user", "daemon", "--share-user"])
        .expect_success();
    first.signal(first.manager(), "-TERM");
    assert_eq!(first.wait(), Some(0));
}

fn set_mode(path: &str, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn guest_without_devices_runs_as_its_caller() {
    let _ = host();
    let folder = "/tmp/run-of-caller";
    fs::create_dir_all(folder).unwrap();
    std::os::unix::fs::chown(folder, Some(4_000), Some(4_000)).unwrap();
    set_mode("/dev/kvm", 0o666);
    let as_caller =
        "setpriv --reuid=4000 --regid=4000 --clear-groups env XDG_RUNTIME_DIR=/tmp/run-of-caller";
    let domain = Domain::new("callers").script("echo ready");
    let finished = domain.run_by_shell(&format!("exec {as_caller} passthru run $XML"));
    set_mode("/dev/kvm", 0o600);
    let finished = finished.expect_success();

    assert!(finished.stdout.contains("ready"), "{finished}");
    assert!(!Path::new("/run/passthru/domain-callers").exists());
    assert!(!Path::new("/var/lib/passthru/guests/callers.json").exists());

    let folder = Path::new(folder).join("passthru");
    assert!(folder.is_dir() && !folder.join("domain-callers").exists());
}
