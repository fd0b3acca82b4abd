//! Commands for a guest that runs, by its supervisor.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use passthru_lab::devices::NVME;
use passthru_lab::{host, run};
use serde_json::Value;

use super::console;
use super::fake::{Fake, wait_for};
use super::support::{Domain, Running, assert_all_back, driver, hostdev, passthru};

const TICKS: &str = "echo ready; while true; do echo tick; sleep 1; done";

/// Starts a guest with a disk, whose console is on no terminal.
fn start(name: &'static str) -> Running {
    let _ = host();
    let running = Running::start(
        &["--no-console", "--stop-timeout", "1"],
        &Domain::new(name)
            .hostdev(NVME, "<driver iommufd='yes'/>", "")
            .script(TICKS)
            .write(),
        name,
    );
    wait_for("running guest", || {
        json(&["ps", "--json"])["guests"][0]["state"] == "running"
    });
    running
}

fn json(arguments: &[&str]) -> Value {
    let finished = passthru(arguments).expect_success();
    serde_json::from_str(&finished.stdout).unwrap()
}

/// The console of a guest, which `passthru console` moves to pipes.
struct ConsoleClient {
    child: Child,
    keys: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl ConsoleClient {
    fn open(arguments: &[&str]) -> Self {
        let mut command = Command::new("passthru");
        let mut child = command
            .arg("console")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            keys: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Reads up to a line that contains `what`.
    fn wait_for(&mut self, what: &str) {
        console::wait_for(&mut self.output, what);
    }

    fn wait(mut self) -> Option<i32> {
        drop(self.keys);
        self.child.wait().unwrap().code()
    }
}

#[test]
fn guest_is_shown_paused_and_stopped_by_name() {
    let running = start("shown");
    let guests = json(&["ps", "--json"]);
    let guest = &guests["guests"][0];

    assert_eq!(guest["name"], "shown");
    assert_eq!(guest["state"], "running");
    assert_eq!(guest["pid"], running.vmm());
    assert_eq!(guest["supervisor"], running.manager());
    assert_eq!(guest["devices"], serde_json::json!([NVME]));

    let info = json(&["info", "shown", "--json"]);
    assert_eq!(info["devices"][0]["alias"], "hostdev0");
    assert_eq!(info["devices"][0]["backend"], "iommufd");
    assert!(info["pinned"].as_u64().unwrap() >= 256 << 20, "{info}");

    let text = passthru(&["info", "shown"]).expect_success().stdout;
    assert!(text.contains("state       running"), "{text}");

    let _ = passthru(&["pause", "shown"]).expect_success();
    assert_eq!(json(&["info", "shown", "--json"])["state"], "paused");

    let _ = passthru(&["resume", "shown"]).expect_success();
    wait_for("running guest", || {
        json(&["info", "shown", "--json"])["state"] == "running"
    });

    let xml = passthru(&["dumpxml", "shown"]).expect_success().stdout;
    assert!(xml.contains("hostdev0"), "{xml}");

    let stopped = passthru(&["stop", "shown"]).expect_success();
    assert!(stopped.stdout.contains("has ended"), "{stopped}");

    assert_all_back("shown", &[(NVME, "nvme")]);
    assert_eq!(running.wait(), Some(0));
    assert_eq!(json(&["ps", "--json"])["guests"], serde_json::json!([]));
}

#[test]
fn forced_stop_does_not_ask_the_guest() {
    let running = start("forced");
    let _ = passthru(&["stop", "forced", "--force"]).expect_success();
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
    assert_eq!(running.wait(), Some(0));

    let again = passthru(&["stop", "forced"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stderr.contains("does not run"), "{again}");
}

#[test]
fn monitor_and_events_are_open_to_root_within_limits() {
    let running = start("asked");
    let status = json(&["qmp", "asked", r#"{"execute": "query-status"}"#]);
    assert_eq!(status["return"]["status"], "running");

    let bypass = r#"{"execute": "device_del", "arguments": {"id": "hostdev0"}}"#;
    let refused = passthru(&["qmp", "asked", bypass]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(refused.stderr.contains("may bypass"), "{refused}");

    let wrong = passthru(&["qmp", "asked", r#"{"execute": "query-nothing"}"#]);
    assert_eq!(wrong.status.code(), Some(5));
    assert!(wrong.stderr.contains("query-nothing"), "{wrong}");

    let mut command = Command::new("passthru");
    let mut listener = command
        .args(["events", "asked", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines();
    // The listener must be connected first.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let _ = passthru(&["reboot", "asked", "--reset"]).expect_success();
    let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(event["event"], "RESET");

    let mut other = Command::new("setpriv");
    other.args(["--reuid=4000", "--regid=4000", "--clear-groups", "passthru"]);
    let refused = run(other.args(["info", "asked"]));
    assert_eq!(refused.status.code(), Some(4));
    assert!(refused.stderr.contains("may not use"), "{refused}");

    let _ = passthru(&["stop", "asked"]).expect_success();
    assert_eq!(running.wait(), Some(0));
    assert!(listener.wait().unwrap().success());
}

#[test]
fn console_is_taken_over_by_force() {
    let running = start("talks");
    let mut first = ConsoleClient::open(&["talks"]);
    first.wait_for("tick");

    let refused = passthru(&["console", "talks"]);

    assert_eq!(refused.status.code(), Some(1));

    let holder = format!("in use by process {}", first.child.id());
    assert!(refused.stderr.contains(&holder), "{refused}");

    let mut second = ConsoleClient::open(&["talks", "--force"]);
    second.wait_for("tick");
    assert_eq!(first.wait(), Some(0));

    second.keys.write_all(b"\n").unwrap();
    let _ = passthru(&["stop", "talks", "--timeout", "0"]).expect_success();
    assert_eq!(second.wait(), Some(0));
    assert_eq!(running.wait(), Some(0));
}

/// Returns the supervisor's process of a guest that runs.
fn supervisor(name: &str) -> u32 {
    let info = json(&["info", name, "--json"]);
    info["supervisor"].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn detached_guest_outlives_its_terminal() {
    let _ = host();
    let xml = Domain::new("detached")
        .hostdev(NVME, "<driver iommufd='yes'/>", "")
        .script(TICKS)
        .write();
    // The terminal of `script` is closed once the command has ended.
    let line = format!("passthru run --detach {}", xml.display());
    let arguments = ["--quiet", "--return", "--command", &line, "/dev/null"];
    let started = run(Command::new("script").args(arguments)).expect_success();

    assert!(
        started.stdout.contains("guest 'detached' runs"),
        "{started}"
    );

    let mut console = ConsoleClient::open(&["detached"]);
    console.wait_for("tick");
    let again = passthru(&["run", "--detach", xml.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(4));

    let running = format!("process {}", supervisor("detached"));
    assert!(again.stderr.contains(&running), "{again}");

    let _ = passthru(&["stop", "detached", "--timeout", "1"]).expect_success();
    assert_eq!(console.wait(), Some(0));

    assert_all_back("detached", &[(NVME, "nvme")]);
}

#[test]
fn detached_start_that_fails_tells_why() {
    let _ = host();
    let xml = Domain::new("unstarted")
        .hostdev("0000:1f:00.0", "<driver iommufd='yes'/>", "")
        .write();
    let failed = passthru(&["run", "--detach", xml.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(4));
    assert!(failed.stderr.contains("0000:1f:00.0"), "{failed}");

    assert_all_back("unstarted", &[]);
}

#[test]
fn supervisor_tells_ready_and_stopping() {
    let _ = host();
    let folder = std::path::Path::new("/tmp/notify");
    let _ = std::fs::remove_file(folder);
    let socket = std::os::unix::net::UnixDatagram::bind(folder).unwrap();
    socket
        .set_read_timeout(Some(super::support::PATIENCE))
        .unwrap();
    let xml = Domain::new("notified").script(TICKS).write();
    let mut command = Command::new("passthru");
    let mut manager = command
        .args(["run", "--no-console", "--stop-timeout", "1"])
        .arg(xml)
        .env("NOTIFY_SOCKET", folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer).unwrap();
    let ready = String::from_utf8_lossy(&buffer[..length]).into_owned();

    assert!(ready.contains("READY=1"), "{ready}");

    let _ = run(Command::new("kill").args(["-TERM", &manager.id().to_string()])).expect_success();
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"STOPPING=1\n");
    assert_eq!(manager.wait().unwrap().code(), Some(0));
}

#[test]
fn operator_of_the_configuration_may_stop_the_guest() {
    let _ = host();
    std::fs::write("/tmp/access.toml", "[access]\noperators = ['4000']\n").unwrap();
    let xml = Domain::new("operated").script(TICKS).write();
    let arguments = ["run", "--detach", "--config", "/tmp/access.toml"];
    let _ = run(Command::new("passthru").args(arguments).arg(xml)).expect_success();
    let operator = ["--reuid=4000", "--regid=4000", "--clear-groups", "passthru"];
    let listed = run(Command::new("setpriv")
        .args(operator)
        .args(["ps", "--json"]));
    let listed: Value = serde_json::from_str(&listed.expect_success().stdout).unwrap();

    assert_eq!(listed["guests"][0]["name"], "operated");

    let refused = run(Command::new("setpriv")
        .args(operator)
        .args(["dumpxml", "operated"]));
    assert_eq!(refused.status.code(), Some(4));

    let stop = ["stop", "operated", "--timeout", "0"];
    let _ = run(Command::new("setpriv").args(operator).args(stop)).expect_success();
}

#[test]
fn device_comes_and_goes_by_command() {
    let _ = host();
    let xml = Domain::new("plugged")
        .top("<iommufd enabled='yes'/>")
        .with("<controller type='pci' model='pcie-root-port'/>")
        .script(TICKS)
        .write();
    let _ = passthru(&["run", "--detach", xml.to_str().unwrap()]).expect_success();
    let mut console = ConsoleClient::open(&["plugged"]);
    console.wait_for("tick");

    std::fs::write("/tmp/device.xml", hostdev(NVME, "", "")).unwrap();
    let attach = ["attach", "plugged", "/tmp/device.xml", "--json"];

    assert_eq!(json(&attach)["aliases"], serde_json::json!(["hostdev0"]));
    assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));

    let listed = json(&["ps", "--json"]);
    assert_eq!(listed["guests"][0]["devices"], serde_json::json!([NVME]));

    let live = passthru(&["dumpxml", "plugged"]).expect_success().stdout;
    assert!(live.contains("<alias name='hostdev0'/>"), "{live}");

    let again = passthru(&["attach", "plugged", "/tmp/device.xml"]);
    assert!(!again.status.success(), "{again}");

    let gone = passthru(&["detach", "plugged", "hostdev0"]).expect_success();
    assert!(gone.stdout.contains("has released hostdev0"), "{gone}");

    assert_all_back("nobody", &[(NVME, "nvme")]);

    let unknown = passthru(&["detach", "plugged", "hostdev0"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(unknown.stderr.contains("hostdev0"), "{unknown}");

    std::fs::write("/tmp/wrong.xml", "<hostdev mode='capabilities'/>").unwrap();
    let wrong = passthru(&["attach", "plugged", "/tmp/wrong.xml"]);
    assert_eq!(wrong.status.code(), Some(3));

    let _ = passthru(&["stop", "plugged", "--timeout", "0"]).expect_success();
    assert_eq!(console.wait(), Some(0));

    assert_all_back("plugged", &[(NVME, "nvme")]);
}

#[test]
fn log_keeps_what_a_detached_vmm_floods() {
    let fake = Fake::new("flooding", "words");
    let _ = run(fake.command().arg("--detach")).expect_success();
    wait_for("words of the VMM", || {
        passthru(&["logs", &fake.name]).stdout.contains("zzz")
    });
    let logged = passthru(&["logs", &fake.name]).expect_success();

    assert!(!logged.stdout.contains('\u{1b}'), "control characters");

    let own = passthru(&["logs", &fake.name, "--supervisor"]).expect_success();
    assert!(!own.stdout.contains("zzz"), "{own}");

    // This VMM hears neither `quit` nor SIGTERM.
    let vmm = json(&["info", &fake.name, "--json"])["pid"].to_string();
    let _ = run(Command::new("kill").args(["-KILL", &vmm])).expect_success();
    wait_for("end of the guest", || !fake.folder().exists());
    let missing = passthru(&["logs", "no-such-guest"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn guest_outlives_its_supervisor_and_gets_another() {
    let _ = host();
    let xml = Domain::new("orphaned")
        .hostdev(NVME, "<driver iommufd='yes'/>", "")
        .script(TICKS)
        .write();
    let xml = xml.to_str().unwrap();
    let _ = passthru(&["run", "--detach", xml]).expect_success();
    let vmm = json(&["info", "orphaned", "--json"])["pid"].clone();
    let first = supervisor("orphaned");
    let _ = run(Command::new("kill").args(["-KILL", &first.to_string()])).expect_success();
    wait_for("guest without supervisor", || {
        json(&["ps", "--json"])["guests"][0]["state"] == "unattended"
    });
    let asked = passthru(&["info", "orphaned"]);

    assert!(asked.stderr.contains("has no supervisor"), "{asked}");

    let other = Domain::new("thief").hostdev(NVME, "", "").write();
    let refused = passthru(&["run", "--no-console", other.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(refused.stderr.contains("orphaned"), "{refused}");

    let again = passthru(&["run", "--no-console", xml]);
    assert_eq!(again.status.code(), Some(4));
    assert!(again.stderr.contains(&vmm.to_string()), "{again}");

    let recovered = passthru(&["recover"]).expect_success();
    assert!(
        recovered.stdout.contains("has a supervisor again"),
        "{recovered}"
    );

    let info = json(&["info", "orphaned", "--json"]);
    assert_eq!(info["pid"], vmm);
    assert_eq!(info["state"], "running");

    let mut console = ConsoleClient::open(&["orphaned"]);
    console.wait_for("tick");

    // A service manager starts a supervisor again by the guest's XML.
    let second = supervisor("orphaned");
    let _ = run(Command::new("kill").args(["-KILL", &second.to_string()])).expect_success();
    wait_for("guest without supervisor", || {
        json(&["ps", "--json"])["guests"][0]["state"] == "unattended"
    });
    let _ = passthru(&["run", "--adopt", "--detach", xml]).expect_success();
    assert_eq!(json(&["info", "orphaned", "--json"])["pid"], vmm);

    let _ = passthru(&["stop", "orphaned", "--timeout", "0"]).expect_success();
    assert_all_back("orphaned", &[(NVME, "nvme")]);
    let nothing = passthru(&["recover", "orphaned"]);
    assert_eq!(nothing.status.code(), Some(1));
}
