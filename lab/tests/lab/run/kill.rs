//! The supervisor is killed before a line of its journal is written. What it left is put back.
//!
//! Each change of the host lies between two lines of the journal. So a kill at each line is a kill
//! before and after each change.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use passthru_lab::devices::NVME;
use passthru_lab::{host, run};

use super::privileges::WAIT;
use super::support::{Domain, PATIENCE, driver, passthru};

/// Number of lines at which the suite kills the supervisor. The long variant takes all lines.
const SAMPLE: u64 = 3;
/// Number of lines of a run without a kill, or a few less.
const LINES: u64 = 40;
/// SIGKILL.
const KILL: i32 = 9;

/// Starts a guest whose supervisor is killed before its journal gets its line of a number.
fn start_killed_at(line: u64, domain: &Domain) -> Child {
    let journal = format!("/run/passthru/domain-{}/journal", domain.name);
    let inject = format!("inject=write:signal=SIGKILL:when={line}");
    let mut command = Command::new("strace");
    // As a grandchild, strace leaves the supervisor's place to the supervisor.
    command.args(["-D", "-qq", "-o", "/dev/null", "-P", &journal]);
    command.args(["-e", "trace=write", "-e", &inject]);
    command.args(["passthru", "run", "--no-console", "--stop-timeout", "0"]);
    command.arg(domain.write());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap()
}

/// Waits for the end of a supervisor. Ends its guest once it runs.
fn end(supervisor: &mut Child, name: &str) -> ExitStatus {
    let begin = Instant::now();
    let mut is_asked = false;
    loop {
        if let Some(status) = supervisor.try_wait().unwrap() {
            return status;
        }
        assert!(begin.elapsed() < PATIENCE, "the supervisor does not end");
        let socket = format!("/run/passthru/control/{name}.sock");
        if !is_asked && Path::new(&socket).exists() {
            is_asked = passthru(&["info", name]).status.success();
            if is_asked {
                let pid = supervisor.id().to_string();
                let _ = run(Command::new("kill").args(["-TERM", &pid]));
            }
        }
        sleep(Duration::from_millis(20));
    }
}

/// Returns the files of all guests, but for locks and logs, which stay.
fn files() -> BTreeSet<String> {
    let found = run(Command::new("find").args(["/run/passthru", "/dev/vfio"])).expect_success();
    let lines = found.stdout.lines();
    let lines = lines.filter(|line| !line.ends_with(".lock") && !line.contains("/log"));
    lines.map(str::to_owned).collect()
}

/// Returns the processes whose command line has `name`.
fn processes(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.starts_with("qemu") && line.contains(&format!("guest={name}")) {
            found.push(line);
        }
    }

    found
}

/// Recovers a guest whose supervisor was killed, and ends it if its VMM runs on.
fn put_back(name: &str) {
    let begin = Instant::now();
    loop {
        let recovered = passthru(&["recover", name]);
        if recovered.status.success() {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{recovered}");
        sleep(Duration::from_millis(100));
    }

    if passthru(&["info", name]).status.success() {
        let _ = passthru(&["stop", name, "--force"]).expect_success();
    }
}

/// Kills the supervisor at a line. Returns false if it ended before that line.
fn walk(line: u64, domain: &Domain, before: &BTreeSet<String>) -> bool {
    let name = domain.name;
    let status = end(&mut start_killed_at(line, domain), name);
    let is_killed = status.signal() == Some(KILL);
    if is_killed {
        put_back(name);
    } else {
        assert!(status.success(), "line {line}: {status}");
    }

    assert_eq!(driver(NVME).as_deref(), Some("nvme"), "line {line}");
    assert_eq!(processes(name), Vec::<String>::new(), "line {line}");
    assert_eq!(&files(), before, "line {line}");
    is_killed
}

fn walked() -> Domain {
    Domain::new("walked")
        .hostdev(NVME, "<driver iommufd='yes'/>", "")
        .script(WAIT)
}

#[test]
fn killed_supervisor_is_recovered_at_a_few_lines() {
    let _ = host();
    let domain = walked();
    // A whole run makes the folders that stay.
    let _ = end(&mut start_killed_at(1000, &domain), domain.name);
    let before = files();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for number in 0..SAMPLE {
        let line = (u64::from(seed.subsec_nanos()) / 7 + number * LINES / SAMPLE) % LINES + 1;
        println!("killing at line {line}");
        assert!(walk(line, &domain, &before), "line {line} was not reached");
    }
}

#[test]
#[ignore = "a long variant: cargo xtask lab test killed_supervisor -- --ignored"]
fn killed_supervisor_is_recovered_at_every_line() {
    let _ = host();
    let domain = walked();
    let _ = end(&mut start_killed_at(1000, &domain), domain.name);
    let before = files();
    let mut line = 1;
    while walk(line, &domain, &before) {
        println!("killed at line {line}: all is back");
        line += 1;
    }

    assert!(line > LINES, "only {line} lines");
}
