//! What QEMU is while it runs: nobody, with nothing but what it was given.

use super::support::{Domain, Running};
use passthru_lab::devices::NVME;
use passthru_lab::{host, run};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// A guest that says it is ready and waits.
pub(super) const WAIT: &str = "echo ready; while true; do sleep 1; done";

fn status(pid: u32) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |line: &str| line.split_once(':').map(|(k, v)| (k.to_owned(), v.trim().to_owned()));
    text.lines().filter_map(field).collect()
}

fn open_files(pid: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    links.filter_map(|e| Some(fs::read_link(e.path()).ok()?.to_str()?.to_owned())).collect()
}

fn memlock(pid: u32) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max locked memory")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().expect("a number, not unlimited")
}

/// Whether a process of the same user and groups could open a path by itself.
fn nobody_can_open(path: &str) -> bool {
    let line = format!("exec 9<>{path}");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "bash", "-c", &line]);
    run(&mut command).status.success()
}

fn check_identity(vmm: u32) {
    let status = status(vmm);
    for ids in ["Uid", "Gid"] {
        assert_eq!(status[ids], "65534\t65534\t65534\t65534", "{ids}");
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    assert_eq!(status["NoNewPrivs"], "1");
    assert!(status["Groups"].is_empty() || status["Groups"] == "65534", "{}", status["Groups"]);
    let limit = memlock(vmm);
    assert!(limit > 256 << 20 && limit < 512 << 20, "memlock {limit}");
}

fn check_descriptors(vmm: u32) {
    let open = open_files(vmm);
    let count = |path: &str| open.iter().filter(|p| p.starts_with(path)).count();
    assert_eq!(count("/dev/iommu"), 1, "{open:?}");
    assert_eq!(count("/dev/vfio/devices/"), 1, "{open:?}");
    assert_eq!(count("/etc/passwd"), 0, "the caller's own descriptor leaked: {open:?}");
    let cdev = open.iter().find(|p| p.starts_with("/dev/vfio/devices/")).unwrap();
    assert!(!nobody_can_open("/dev/iommu"));
    assert!(!nobody_can_open(cdev));
    assert!(nobody_can_open("/dev/null"), "the check itself must be able to say yes");
}

fn manager_lets_go(running: &Running) {
    let open = open_files(running.manager());
    let held: Vec<_> =
        open.iter().filter(|p| p.starts_with("/dev/vfio/") || p.starts_with("/dev/iommu")).collect();
    assert!(held.is_empty(), "the manager keeps {held:?}");
}

#[test]
fn qemu_is_nobody_and_has_only_what_it_was_given() {
    let _ = host();
    let domain = Domain::new("private").hostdev(NVME, "<driver iommufd='yes'/>", "").script(WAIT);
    // A descriptor that the caller's shell left open must not reach QEMU.
    let leaked = fs::File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let running = domain.start(&["--stop-timeout", "1"]);
    let vmm = running.vmm();
    check_identity(vmm);
    check_descriptors(vmm);
    manager_lets_go(&running);
    running.signal(running.manager(), "-INT");
    assert_eq!(running.wait(), Some(0));
}

#[test]
fn a_user_of_the_system_is_taken_and_root_is_not() {
    let _ = host();
    let domain = Domain::new("users").hostdev(NVME, "<driver iommufd='yes'/>", "");
    let steps = domain.run(&["--dry-run", "--user", "daemon"]).expect_success().stdout;
    assert!(steps.contains("as daemon (uid 1)"), "{steps}");
    for root in ["root", "0"] {
        let refused = domain.run(&["--user", root]).expect_failure();
        assert_eq!(refused.status.code(), Some(2), "{refused}");
        assert!(refused.stderr.contains("must not be root"), "{refused}");
    }
    let unknown = domain.run(&["--user", "no-such-user"]).expect_failure();
    assert!(unknown.stderr.contains("no user 'no-such-user'"), "{unknown}");
}

/// Puts `/etc/passwd` back.
struct Passwd(String);

impl Passwd {
    fn with(line: &str) -> Self {
        let former = fs::read_to_string("/etc/passwd").unwrap();
        fs::write("/etc/passwd", format!("{former}{line}\n")).unwrap();
        Self(former)
    }
}

impl Drop for Passwd {
    fn drop(&mut self) {
        let _ = fs::write("/etc/passwd", &self.0);
    }
}

#[test]
fn the_configured_user_goes_before_the_system_user_which_goes_before_nobody() {
    let _ = host();
    let domain = Domain::new("defaults").hostdev(NVME, "<driver iommufd='yes'/>", "");
    let steps =
        |arguments: &[&str]| domain.run(&[&["--dry-run"], arguments].concat()).expect_success().stdout;
    assert!(steps(&[]).contains("as nobody"));
    let _passwd = Passwd::with("passthru:x:990:990::/nonexistent:/usr/sbin/nologin");
    assert!(steps(&[]).contains("as passthru (uid 990)"));
    fs::write("/tmp/config.toml", "user = \"daemon\"\n").unwrap();
    assert!(steps(&["--config", "/tmp/config.toml"]).contains("as daemon (uid 1)"));
    fs::write("/tmp/config.toml", "usr = \"daemon\"\n").unwrap();
    let unknown = domain.run(&["--dry-run", "--config", "/tmp/config.toml"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown}");
    assert!(unknown.stderr.contains("usr"), "{unknown}");
}
