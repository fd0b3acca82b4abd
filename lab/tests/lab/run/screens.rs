//! Screens with a password: who is let in, and where the password shows.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use passthru_lab::{host, run};

use super::fake::{Fake, Manager, wait_for};
use super::screen_clients::{spice, vnc};
use super::support::{Domain, assert_all_back};

/// Password of the tests, which occurs nowhere else.
const PASSWORD: &str = "velvet-7";
/// SPICE's verdict on a client with a wrong ticket (`SPICE_LINK_ERR_PERMISSION_DENIED`).
const SPICE_DENIED: u32 = 7;
/// VNC's verdict on a client with a wrong password.
const VNC_DENIED: u32 = 1;
/// Folders that `passthru` writes to.
const WRITTEN: [&str; 4] = [
    "/run/passthru",
    "/var/lib/passthru",
    "/var/cache/passthru",
    "/var/log",
];

/// A running guest whose messages go to a file, with all levels of the log.
struct Guest {
    manager: Manager,
    domain: Domain,
    log: String,
}

impl Guest {
    /// Starts a guest with these devices, and waits until it runs.
    fn start(name: &'static str, devices: &str) -> Self {
        let _ = host();
        let domain = Domain::new(name)
            .with(devices)
            .script("echo ready; while true; do sleep 1; done");
        let log = format!("/tmp/{name}.log");
        let output = File::create(&log).unwrap();
        let manager = Manager::start(
            Command::new("passthru")
                .args(["-vv", "run", "--stop-timeout", "0"])
                .arg(domain.write())
                .stdin(Stdio::null())
                .stdout(output.try_clone().unwrap())
                .stderr(output),
        );
        let guest = Self {
            manager,
            domain,
            log,
        };
        wait_for("guest that runs", || guest.log().contains("ready"));
        guest
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Ends the guest, and asserts that no log, record or process ever showed the password.
    fn end_without_traces(mut self) {
        let vmm = self.manager.vmm().unwrap();
        for process in [self.manager.child().id(), vmm] {
            for file in ["cmdline", "environ"] {
                let path = format!("/proc/{process}/{file}");
                let bytes = fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&bytes);
                assert!(!text.contains(PASSWORD), "{path}: {text}");
            }
        }

        assert_not_written();

        self.manager.signal("-TERM");
        assert_eq!(self.manager.wait(), Some(0), "{}", self.log());
        assert!(!self.log().contains(PASSWORD), "{}", self.log());
        assert_not_written();
        assert_all_back(self.domain.name, &[]);
    }
}

/// Asserts that no file of `passthru` holds the password.
fn assert_not_written() {
    let mut grep = Command::new("grep");
    grep.args(["-rsla", "--devices=skip", PASSWORD])
        .args(WRITTEN);
    let found = run(&mut grep);
    // Folders that are missing are not reported (-s), wrong arguments are.
    assert_eq!(found.stdout + &found.stderr, "");
}

#[test]
fn spice_client_needs_the_password() {
    let screen = format!(
        "<graphics type='spice' port='5961' passwd='{PASSWORD}' connected='keep' \
         passwdValidTo='2099-01-01T00:00:00'/>"
    );
    let guest = Guest::start("spice-password", &screen);
    assert_eq!(spice(5961, PASSWORD), 0);
    assert_eq!(spice(5961, "velvet-8"), SPICE_DENIED);
    assert_eq!(spice(5961, ""), SPICE_DENIED);

    guest.end_without_traces();
}

#[test]
fn vnc_client_needs_the_password() {
    let screen = format!("<graphics type='vnc' port='5962' passwd='{PASSWORD}'/>");
    let guest = Guest::start("vnc-password", &screen);
    assert_eq!(vnc(5962, PASSWORD), 0);
    assert_eq!(vnc(5962, "velvet-8"), VNC_DENIED);
    assert_eq!(vnc(5962, ""), VNC_DENIED);

    guest.end_without_traces();
}

#[test]
fn open_spice_takes_an_empty_ticket_and_expired_vnc_nothing() {
    let screens = format!(
        "<graphics type='spice' port='5963'/>\
         <graphics type='vnc' port='5964' passwd='{PASSWORD}' passwdValidTo='2001-02-03T04:05:06'/>"
    );
    let guest = Guest::start("open-and-expired", &screens);
    assert_eq!(spice(5963, ""), 0);
    assert_eq!(vnc(5964, PASSWORD), VNC_DENIED);

    let warning = "the password of the VNC screen has expired: no client can connect";
    assert!(guest.log().contains(warning), "{}", guest.log());

    guest.end_without_traces();
}

#[test]
fn empty_password_lets_no_client_in() {
    let screens = "<graphics type='spice' port='5965' passwd=''/>\
         <graphics type='vnc' port='5966' passwd=''/>";
    let guest = Guest::start("empty-password", screens);
    assert_eq!(spice(5965, ""), SPICE_DENIED);
    assert_eq!(vnc(5966, ""), VNC_DENIED);

    guest.end_without_traces();
}

/// Adds a screen of each kind with the password to a guest with a stand-in for QEMU.
fn add_screens(fake: &Fake) {
    let screens = format!(
        "<graphics type='vnc' passwd='{PASSWORD}'/>\
         <graphics type='spice' port='5967' passwd='{PASSWORD}'/>\
         <video><model type='none'/></video></devices>"
    );
    let xml = fs::read_to_string(&fake.xml).unwrap();
    fs::write(&fake.xml, xml.replace("</devices>", &screens)).unwrap();
}

#[test]
fn passwords_are_set_before_the_guest_runs() {
    let fake = Fake::new("set-passwords", "polite");
    add_screens(&fake);
    let dry = run(Command::new("passthru")
        .args(["run", "--dry-run"])
        .arg(&fake.xml));
    let steps = dry.expect_success().stdout;

    assert!(!steps.contains(PASSWORD), "{steps}");
    for screen in ["VNC", "SPICE"] {
        let step = format!("set the password of the {screen} screen by QMP\n");
        assert!(steps.contains(&step), "{steps}");
    }

    let mut manager = Manager::start(fake.command().stdout(Stdio::null()));
    fake.wait_for_note("cont");
    let set = "expire_password\nset_password\n";
    let expected = format!("qmp_capabilities\n{set}{set}cont\n");
    assert!(fake.notes().ends_with(&expected), "{}", fake.notes());

    manager.signal("-TERM");
    assert_eq!(manager.wait(), Some(0));
}

#[test]
fn refused_password_ends_the_start_without_showing_it() {
    for mode in ["refuse at set_password", "echo at set_password"] {
        let fake = Fake::new("refused-password", mode);
        add_screens(&fake);
        let mut command = Command::new("passthru");
        let ended = run(command.args(["-vv", "run"]).arg(&fake.xml));
        assert_eq!(ended.status.code(), Some(5), "{ended}");

        let error = "error: cannot set the password of the VNC screen\n";
        assert!(ended.stderr.contains(error), "{ended}");
        assert!(!ended.stderr.contains(PASSWORD), "{ended}");
        assert!(!fake.notes().contains("cont"), "{}", fake.notes());
        assert!(!fake.folder().exists(), "{ended}");
    }
}
