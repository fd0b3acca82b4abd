//! Exit codes of docs/exit-codes.md. With codes 2 to 5, the host stays as it was.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use passthru_lab::devices::NVME;
use passthru_lab::{host, run};

use super::fake::{Fake, Manager};
use super::privileges::WAIT;
use super::support::{Domain, driver, passthru};

/// Runs a fake guest with one replacement in its domain, and checks that nothing is left behind.
/// Returns the exit code.
#[track_caller]
fn refused(mode: &str, from: &str, to: &str, arguments: &[&str]) -> Option<i32> {
    let fake = Fake::new("refused", mode);
    let xml = fs::read_to_string(&fake.xml).unwrap();
    assert!(xml.contains(from), "{from}");
    fs::write(&fake.xml, xml.replace(from, to)).unwrap();
    let finished = passthru(&[&["run"], arguments, &[fake.xml.to_str().unwrap()]].concat());
    assert!(!fake.folder().exists(), "{finished}");
    assert!(finished.stderr.contains("error: "), "{finished}");
    let is_fit = !finished.stderr.chars().any(|c| c.is_control() && c != '\n');
    assert!(
        is_fit && finished.stderr.len() < 4000,
        "{mode}: {:.4000}",
        finished.stderr
    );
    finished.status.code()
}

#[test]
fn wrong_arguments_and_configuration_have_code_2() {
    let _ = host();
    for arguments in [
        &["fly"][..],
        &["run"],
        &["list", "nvme0"],
        &["bind"],
        &["convert", "--json", "a", "b"],
    ] {
        assert_eq!(passthru(arguments).status.code(), Some(2), "{arguments:?}");
    }

    fs::write("/tmp/wrong.toml", "usr = 'daemon'\n").unwrap();
    let users = fs::read_to_string("/etc/passwd").unwrap();
    fs::write(
        "/etc/passwd",
        format!("{users}in-root:x:4001:0::/:/bin/false\n"),
    )
    .unwrap();
    let wrong = [
        "--config /tmp/wrong.toml",
        "--config /tmp/no.toml",
        "--user no-such-user",
        "--user in-root",
        "--fd x=1 --fd x=2",
    ];
    for arguments in wrong {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        assert_eq!(
            refused("polite", "", "", &arguments),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn domain_that_cannot_work_has_code_3() {
    let _ = host();
    let no_name = "<domain type='kvm'><memory>1</memory></domain>";
    for (file, text) in [
        ("/tmp/none.xml", None),
        ("/tmp/text.xml", Some("<domain")),
        ("/tmp/name.xml", Some(no_name)),
    ] {
        if let Some(text) = text {
            fs::write(file, text).unwrap();
        }
        for command in ["run", "convert", "format", "validate"] {
            assert_eq!(
                passthru(&[command, file]).status.code(),
                Some(3),
                "{command} {file}"
            );
        }
    }

    assert_eq!(
        refused("polite", "<features>", "<feature/><features>", &[]),
        Some(3)
    );
    assert_eq!(
        refused("polite", "machine='q35'", "machine='pc'", &[]),
        Some(3)
    );
}

#[test]
fn host_that_refuses_has_code_4() {
    let _ = host();
    let absent = "<hostdev mode='subsystem' type='pci' managed='yes'><driver iommufd='yes'/>\
        <source>\
        <address domain='0xfffe' bus='0x0b' slot='0' function='0'/></source></hostdev></devices>";
    // The emulator has no VFIO, and is refused before the host is examined.
    for backend in ["yes", "no"] {
        let hostdev = absent.replace("iommufd='yes'", &format!("iommufd='{backend}'"));
        let code = refused("polite", "</devices>", &hostdev, &[]);
        assert!(matches!(code, Some(3 | 4)), "{backend}: {code:?}");
    }

    let kernel = "<kernel>/nonexistent/kernel</kernel></os>";

    assert_eq!(refused("polite", "</os>", kernel, &[]), Some(4));
    for command in ["list", "bind", "unbind"] {
        assert_eq!(
            passthru(&[command, "fffe:0b:00.0"]).status.code(),
            Some(4),
            "{command}"
        );
    }

    let fake = Fake::new("twice", "polite");
    let mut manager = Manager::start(fake.command().stdout(Stdio::null()).stderr(Stdio::null()));
    fake.wait_for_note("cont");
    let second = passthru(&["run", fake.xml.to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(4), "{second}");

    manager.signal("-TERM");
    assert_eq!(manager.wait(), Some(0));
}

#[test]
fn emulator_that_fails_has_code_5() {
    let _ = host();
    let modes = [
        "refuse",
        "garbage when asked",
        "refuse at cont",
        "garbage at qmp_capabilities",
        "gone at cont",
    ];
    for mode in modes {
        assert_eq!(refused(mode, "", "", &[]), Some(5), "{mode}");
    }
    assert_eq!(
        refused("polite", "<emulator>/tmp", "<emulator>/nonexistent", &[]),
        Some(5)
    );
    assert_eq!(
        refused("polite", "<emulator>/tmp/", "<emulator>/dev/null/", &[]),
        Some(5)
    );
}

#[test]
fn vmm_that_ends_badly_has_code_6() {
    let _ = host();
    assert_eq!(refused("crash", "", "", &[]), Some(6));
}

#[test]
fn device_that_does_not_go_back_has_code_7() {
    let _ = host();
    let bind = "/sys/bus/pci/drivers/nvme/bind";
    let running = Domain::new("kept")
        .hostdev(NVME, "<driver iommufd='yes'/>", "")
        .script(WAIT);
    let running = running.start(&["--stop-timeout", "1"]);
    let _ = run(Command::new("mount").args(["--bind", "/dev/full", bind])).expect_success();
    running.signal(running.manager(), "-TERM");
    let code = running.wait();
    let again = passthru(&["unbind", NVME]);
    let _ = run(Command::new("umount").arg(bind)).expect_success();

    assert_eq!(code, Some(7));
    assert!(matches!(again.status.code(), Some(4 | 7)), "{again}");

    let _ = passthru(&["unbind", NVME]).expect_success();
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
}

#[test]
fn interruption_has_code_130_from_the_first_moment() {
    let _ = host();
    for (mode, note) in [
        ("silent when asked", "qom-list-types"),
        ("silent at qmp_capabilities", "query-machines"),
    ] {
        let fake = Fake::new("early", mode);
        let mut manager =
            Manager::start(fake.command().stdout(Stdio::null()).stderr(Stdio::null()));
        fake.wait_for_note(note);
        sleep(Duration::from_millis(300));
        let vmm = manager.vmm();
        manager.signal("-TERM");
        assert_eq!(manager.wait(), Some(130), "{mode}");
        assert!(!fake.folder().exists(), "{mode}");
        super::fake::wait_for("end of the VMM", || {
            vmm.is_none_or(|vmm| !Path::new(&format!("/proc/{vmm}")).exists())
        });
    }
}

#[test]
fn output_that_cannot_be_written_has_code_1() {
    let _ = host();
    let fake = Fake::new("output", "polite");
    let xml = fake.xml.to_str().unwrap();
    let commands: [&[&str]; 9] = [
        &["list"],
        &["list", "--json"],
        &["convert", xml],
        &["format", xml],
        &["validate", xml],
        &["run", "--dry-run", xml],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
    ];
    for arguments in commands {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new("passthru");
        let status = command
            .args(arguments)
            .stdout(full)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
        // A reader that closed the pipe needs no more output.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new("passthru")
            .args(arguments)
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("error"),
            "{arguments:?}: {output:?}"
        );
    }
}
