//! `passthru list`, `bind` and `unbind` on real devices.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use passthru_lab::devices::{
    CMB_NVME, DATA_MOUNT, DATA_NVME, IGB, NVME, SHARED_COMPANION, SHARED_FREE, UPLINK,
};
use passthru_lab::{host, run};

use crate::commands::{GiveBack, O_EXCL, disk, driver, names, passthru, refused, sysfs};

fn record(device: &str) -> PathBuf {
    Path::new("/run/passthru/devices").join(format!("{device}.json"))
}

#[test]
fn disk_goes_to_vfio_and_back() {
    let _host = host();
    let _give_back = GiveBack(&[NVME]);
    let said = passthru(&["bind", NVME]).expect_success().stdout;
    let cdev = names(sysfs(NVME).join("vfio-dev")).remove(0);

    assert_eq!(
        said,
        format!("{NVME} is on vfio-pci: /dev/vfio/devices/{cdev}\n")
    );
    assert!(Path::new("/dev/vfio/devices").join(cdev).exists());
    assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));
    assert!(record(NVME).exists());

    let said = passthru(&["unbind", NVME]).expect_success().stdout;
    assert_eq!(said, format!("{NVME} is on nvme\n"));
    assert_eq!(
        fs::read_to_string(sysfs(NVME).join("driver_override")).unwrap(),
        "(null)\n"
    );
    assert!(!record(NVME).exists());

    disk(NVME);
}

#[test]
fn second_bind_and_unbind_change_nothing() {
    let _host = host();
    let _give_back = GiveBack(&[NVME]);
    let first = passthru(&["bind", NVME]).expect_success().stdout;
    assert_eq!(passthru(&["bind", NVME]).expect_success().stdout, first);

    let first = passthru(&["unbind", NVME]).expect_success().stdout;
    assert_eq!(passthru(&["unbind", NVME]).expect_success().stdout, first);
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
}

#[test]
fn mounted_disk_is_refused_with_its_companions() {
    let _host = host();
    let said = refused(&["bind", NVME, DATA_NVME]);
    assert!(
        said.contains(&format!(
            "{DATA_NVME} is in use: the file system on {DATA_MOUNT}"
        )),
        "{said}"
    );
    assert_eq!(
        [NVME, DATA_NVME].map(|device| driver(device).unwrap()),
        ["nvme", "nvme"]
    );
    assert!(fs::metadata(DATA_MOUNT).is_ok());
}

#[test]
fn card_of_the_default_route_is_refused() {
    let _host = host();
    let said = refused(&["bind", UPLINK]);
    assert!(
        said.contains(&format!("{UPLINK} is in use: the default route over ")),
        "{said}"
    );
    assert_eq!(driver(UPLINK).as_deref(), Some("e1000e"));
}

#[test]
fn shared_group_is_refused_and_its_companion_named() {
    let _host = host();
    let said = refused(&["bind", SHARED_FREE]);
    assert!(
        said.contains(&format!("with {SHARED_COMPANION} (")) && said.contains("which is on e1000"),
        "{said}"
    );
    assert!(
        said.contains(&format!("bind {SHARED_COMPANION} too")),
        "{said}"
    );
    assert_eq!(driver(SHARED_FREE), None);
}

#[test]
fn devices_of_a_shared_group_are_bound_together() {
    let _host = host();
    let both = [SHARED_FREE, SHARED_COMPANION];
    let _give_back = GiveBack(&both);
    let _ = passthru(&["bind", SHARED_FREE, SHARED_COMPANION]).expect_success();

    assert_eq!(
        both.map(|device| driver(device).unwrap()),
        ["vfio-pci", "vfio-pci"]
    );

    let _ = passthru(&["unbind", SHARED_FREE, SHARED_COMPANION]).expect_success();
    assert_eq!(both.map(driver), [None, Some("e1000".into())]);
}

#[test]
fn open_disk_is_bound_by_force_only() {
    let _host = host();
    let _give_back = GiveBack(&[CMB_NVME]);
    let disk = disk(CMB_NVME);
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(O_EXCL)
        .open(&disk)
        .unwrap();
    let said = refused(&["bind", CMB_NVME]);
    let pid = std::process::id();

    assert!(
        said.contains("claimed exclusively") && said.contains(&format!("(pid {pid}, ")),
        "{said}"
    );

    let said = passthru(&["bind", "--force", CMB_NVME])
        .expect_success()
        .stderr;
    assert!(
        said.starts_with(&format!("warning: {CMB_NVME} is in use: ")),
        "{said}"
    );
    assert_eq!(driver(CMB_NVME).as_deref(), Some("vfio-pci"));

    drop(open);
}

#[test]
fn refusing_driver_leaves_the_device_as_before() {
    let _host = host();
    let _give_back = GiveBack(&[NVME]);
    let said = refused(&["bind", "--driver", "virtio-pci", NVME]);
    assert!(
        said.contains("/sys/bus/pci/drivers/virtio-pci/bind") && said.contains("os error 19"),
        "{said}"
    );
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
    assert!(!record(NVME).exists());

    let said = refused(&["bind", "--driver", "no-such-driver", NVME]);
    assert!(said.contains("no PCI driver 'no-such-driver'"), "{said}");
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
}

#[test]
fn dry_run_of_bind_changes_nothing() {
    let _host = host();
    let said = passthru(&["bind", "--dry-run", NVME])
        .expect_success()
        .stdout;
    assert_eq!(said, format!("{NVME}: from nvme to vfio-pci\n"));
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
    assert!(!record(NVME).exists());
}

#[test]
fn bind_that_is_interrupted_binds_all_or_none() {
    let _host = host();
    let _give_back = GiveBack(&[NVME, CMB_NVME]);
    for delay in [0, 5, 10, 20, 40, 80, 160, 320] {
        let mut bind = Command::new("passthru")
            .args(["bind", NVME, CMB_NVME])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = run(Command::new("kill").args(["-INT", &bind.id().to_string()]));
        let status = bind.wait().unwrap();
        let drivers = [NVME, CMB_NVME].map(|device| driver(device).unwrap());
        match status.code() {
            Some(0) => {
                assert_eq!(drivers, ["vfio-pci", "vfio-pci"], "after {delay} ms");
                let _ = passthru(&["unbind", NVME, CMB_NVME]).expect_success();
            }
            // Without an exit code, the signal came before it was caught.
            Some(130) | None => assert_eq!(drivers, ["nvme", "nvme"], "after {delay} ms"),
            other => panic!("after {delay} ms: {other:?}"),
        }
    }
}

#[test]
fn unbind_that_is_interrupted_says_which_devices_are_back() {
    let _host = host();
    let devices = [NVME, CMB_NVME];
    let _give_back = GiveBack(&devices);
    for delay in [0, 5, 10, 20, 40, 80, 160, 320] {
        let _ = passthru(&["bind", NVME, CMB_NVME]).expect_success();
        let mut unbind = Command::new("passthru");
        unbind
            .args(["unbind", NVME, CMB_NVME])
            .stdout(std::process::Stdio::piped());
        let unbind = unbind.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = run(Command::new("kill").args(["-INT", &unbind.id().to_string()]));
        let ended = unbind.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        // Without an exit code, the signal came before it was caught.
        assert!(
            matches!(ended.status.code(), Some(0 | 130) | None),
            "after {delay} ms: {:?}",
            ended.status
        );
        for device in devices {
            let is_back = said.contains(&format!("{device} is on nvme\n"));
            let expected = if is_back { "nvme" } else { "vfio-pci" };
            assert_eq!(
                driver(device).as_deref(),
                Some(expected),
                "{device} after {delay} ms: {said}"
            );
            assert!(
                is_back || ended.status.code() != Some(0),
                "{device} after {delay} ms"
            );
        }
        let _ = passthru(&["unbind", NVME, CMB_NVME]).expect_success();
    }
}

#[test]
fn unbind_that_is_stuck_is_reported_and_stays_claimed() {
    let _host = host();
    let _give_back = GiveBack(&[NVME]);
    let _ = passthru(&["bind", NVME]).expect_success();
    let cdev = names(sysfs(NVME).join("vfio-dev")).remove(0);
    let open = File::open(Path::new("/dev/vfio/devices").join(cdev)).unwrap();
    let mut unbind = Command::new("passthru");
    unbind
        .args(["unbind", "--force", NVME])
        .stderr(std::process::Stdio::piped());
    let unbind = unbind.spawn().unwrap();
    // The kernel waits for the open file, and the command for the kernel. After a minute, the
    // command reports that.
    std::thread::sleep(Duration::from_secs(65));
    let said = refused(&["bind", NVME]);

    assert!(said.contains(&format!("{NVME} belongs to")), "{said}");
    assert!(record(NVME).exists());

    drop(open);
    let said = unbind.wait_with_output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("driver/unbind has not ended after 60 s"),
        "{said}"
    );
}

#[test]
fn device_in_use_by_a_process_is_not_unbound() {
    let _host = host();
    let _give_back = GiveBack(&[NVME]);
    let _ = passthru(&["bind", NVME]).expect_success();
    let cdev = names(sysfs(NVME).join("vfio-dev")).remove(0);
    let open = File::open(Path::new("/dev/vfio/devices").join(cdev)).unwrap();
    let said = refused(&["unbind", NVME]);

    assert!(
        said.contains(&format!("(pid {}, /dev/vfio/devices/", std::process::id())),
        "{said}"
    );

    drop(open);
    let _ = passthru(&["unbind", NVME]).expect_success();
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
}

#[test]
fn virtual_function_is_bound_and_keeps_its_parent() {
    let _host = host();
    let numvfs = sysfs(IGB).join("sriov_numvfs");
    fs::write(&numvfs, "2").unwrap();
    let function = "0000:02:10.0";
    let said = passthru(&["bind", function]).expect_success().stdout;

    assert!(said.contains("vfio-pci"), "{said}");

    let json = passthru(&["list", "--json", function])
        .expect_success()
        .stdout;
    assert!(json.contains(&format!("\"physical\": \"{IGB}\"")), "{json}");

    let said = refused(&["bind", IGB]);
    assert!(said.contains("2 virtual functions"), "{said}");

    let _ = passthru(&["unbind", function]).expect_success();
    fs::write(&numvfs, "0").unwrap();
    assert!(!sysfs(function).exists());
}

#[test]
fn physical_function_with_virtual_ones_is_not_unbound() {
    let _host = host();
    let _give_back = GiveBack(&[IGB]);
    let _ = passthru(&["bind", "--force", IGB]).expect_success();
    fs::write("/sys/module/vfio_pci/parameters/enable_sriov", "1").unwrap();
    let numvfs = sysfs(IGB).join("sriov_numvfs");
    fs::write(&numvfs, "1").unwrap();
    let said = refused(&["unbind", IGB]);
    let is_there = sysfs("0000:02:10.0").exists();
    let _ = passthru(&["unbind", "--force", IGB]).expect_success();

    assert!(
        said.contains("its virtual function would vanish: 0000:02:10.0"),
        "{said}"
    );
    assert!(is_there);
    assert!(!sysfs("0000:02:10.0").exists());
    assert_eq!(driver(IGB).as_deref(), Some("igb"));
}

#[test]
fn unknown_device_is_refused_with_similar_ones() {
    let _host = host();
    let said = refused(&["bind", "0000:01:00.1"]);
    assert!(
        said.contains("0000:01:00.1: no such PCI device") && said.contains(NVME),
        "{said}"
    );
}

#[test]
fn list_shows_free_and_used_devices() {
    let _host = host();
    let list = passthru(&["list"]).expect_success().stdout;
    let mounted = format!("the file system on {DATA_MOUNT}");
    let shared = format!("only with {SHARED_COMPANION}");
    for (device, words) in [
        (NVME, [" nvme ", " can "]),
        (DATA_NVME, [&mounted, ""]),
        (UPLINK, [" in use ", "the default route over"]),
        (SHARED_FREE, [&shared, ""]),
    ] {
        let line = list.lines().find(|line| line.contains(device)).unwrap();
        for words in words {
            assert!(line.contains(words), "{words}: {list}");
        }
    }
}

#[test]
fn bind_without_root_is_refused() {
    let _host = host();
    let finished = run(Command::new("setpriv").args([
        "--reuid=65534",
        "--clear-groups",
        "passthru",
        "bind",
        NVME,
    ]));
    assert_eq!(finished.status.code(), Some(4), "{finished}");
    assert!(finished.stderr.contains("run it as root"), "{finished}");
    assert_eq!(driver(NVME).as_deref(), Some("nvme"));
}
