//! Refusals of `passthru run`: each names a remedy, and changes nothing on the host.

use std::fs;
use std::path::Path;
use std::process::Command;

use passthru_lab::devices::{
    DATA_MOUNT, DATA_NVME, NO_IOMMU, NVME, SHARED_COMPANION, SHARED_FREE, UPLINK,
};
use passthru_lab::{Finished, NoIommuDevice, host, run};

use super::support::{Domain, IOMMUFD, TYPE1, assert_all_back, driver, hostdev};

/// Runs a domain that must be refused with this exit code and a message with all of `words`.
#[track_caller]
fn refused(domain: &Domain, code: i32, words: &[&str]) -> Finished {
    let finished = domain.run(&[]);
    assert_eq!(finished.status.code(), Some(code), "{finished}");
    for word in words {
        assert!(
            finished.stderr.contains(word),
            "'{word}' is not in: {finished}"
        );
    }

    assert_all_back(domain.name, &[(NVME, "nvme")]);
    finished
}

#[test]
fn mounted_disk_is_refused_with_its_mount_point() {
    let _ = host();
    refused(
        &Domain::new("mounted").hostdev(DATA_NVME, IOMMUFD, ""),
        4,
        &[DATA_NVME, DATA_MOUNT],
    );
    assert_eq!(driver(DATA_NVME).as_deref(), Some("nvme"));
    assert!(
        fs::read_to_string("/proc/mounts")
            .unwrap()
            .contains(DATA_MOUNT)
    );
}

#[test]
fn card_of_the_default_route_is_not_run() {
    let _ = host();
    refused(
        &Domain::new("uplink").hostdev(UPLINK, IOMMUFD, ""),
        4,
        &[UPLINK, "default route"],
    );
    assert_eq!(driver(UPLINK).as_deref(), Some("e1000e"));
}

#[test]
fn shared_group_is_refused_with_its_companion() {
    let _ = host();
    refused(
        &Domain::new("shared").hostdev(SHARED_FREE, IOMMUFD, ""),
        4,
        &[SHARED_FREE, SHARED_COMPANION, "e1000"],
    );
    assert_eq!(driver(SHARED_COMPANION).as_deref(), Some("e1000"));
}

#[test]
fn one_refused_device_leaves_the_others_alone() {
    let _ = host();
    let both = hostdev(NVME, IOMMUFD, "") + &hostdev(DATA_NVME, IOMMUFD, "");
    refused(&Domain::new("both").with(&both), 4, &[DATA_MOUNT]);
}

#[test]
fn absent_device_is_refused() {
    let _ = host();
    refused(
        &Domain::new("absent").hostdev("0000:0b:00.0", IOMMUFD, ""),
        4,
        &["0000:0b:00.0"],
    );
}

#[test]
fn reasons_of_the_host_come_in_one_run() {
    let _ = host();
    let disks = ["raw", "qcow2"].map(|format| {
        format!(
            "<disk type='file'><driver name='qemu' type='{format}'/>\
             <source file='/nonexistent/{format}'/><target dev='sd{format}' bus='sata'/></disk>"
        )
    });
    let domain = Domain {
        kernel: "/nonexistent/kernel".into(),
        ..Domain::new("reasons")
    };
    let domain = domain
        .hostdev(DATA_NVME, IOMMUFD, "")
        .hostdev("0000:0b:00.0", IOMMUFD, "")
        .hostdev(SHARED_FREE, IOMMUFD, "")
        .with(
            &disks
                .concat()
                .replace("sdraw", "sda")
                .replace("sdqcow2", "sdb"),
        );
    let words = [
        DATA_MOUNT,
        "0000:0b:00.0: no such PCI device",
        SHARED_COMPANION,
        "/nonexistent/raw",
        "/nonexistent/qcow2",
        "/nonexistent/kernel",
    ];
    let started = refused(&domain, 3, &words);
    let planned = domain.run(&["--dry-run"]);

    assert_eq!(planned.status.code(), Some(3), "{planned}");
    assert_eq!(planned.stderr, started.stderr);
    for word in ["error: cannot open the image", "no such PCI device"] {
        assert_eq!(started.stderr.matches(word).count(), 1, "{started}");
    }
}

#[test]
fn devices_of_one_group_on_two_backends_are_refused() {
    let _ = host();
    let both = hostdev(SHARED_FREE, IOMMUFD, "") + &hostdev(SHARED_COMPANION, TYPE1, "");
    let iommu = "<iommu model='intel'><driver intremap='on' caching_mode='on'/></iommu>";
    let domain = Domain {
        features: "<ioapic driver='qemu'/>",
        ..Domain::new("two-backends")
    };
    refused(
        &domain.with(&both).with(iommu),
        4,
        &[
            "one of them is on iommufd and the other on type1",
            "in both",
        ],
    );

    assert_eq!(driver(SHARED_COMPANION).as_deref(), Some("e1000"));
}

#[test]
fn device_without_iommu_is_refused_on_type1() {
    let _ = host();
    let device = NoIommuDevice::bind().unwrap();
    refused(
        &Domain::new("no-iommu").hostdev(NO_IOMMU, TYPE1, ""),
        4,
        &[NO_IOMMU, "IOMMU"],
    );
    drop(device);
}

#[test]
fn broken_xml_is_refused_with_its_line() {
    let _ = host();
    let path = "/tmp/broken.xml";
    fs::write(path, "<domain type='kvm'>\n  <nam>a</nam>\n</domain>\n").unwrap();
    let finished = run(Command::new("passthru").args(["run", path])).expect_failure();

    assert_eq!(finished.status.code(), Some(3), "{finished}");
    assert!(
        finished.stderr.contains("/tmp/broken.xml:2:3") && finished.stderr.contains("'name'"),
        "{finished}"
    );
}

#[test]
fn caller_without_privileges_is_refused() {
    let _ = host();
    let path = Domain::new("unprivileged")
        .hostdev(NVME, IOMMUFD, "")
        .write();
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "passthru",
            "run",
        ])
        .arg(path);
    let finished = run(&mut command).expect_failure();

    assert_eq!(finished.status.code(), Some(4), "{finished}");
    assert!(finished.stderr.contains("root"), "{finished}");

    assert_all_back("unprivileged", &[(NVME, "nvme")]);
}

#[test]
fn second_guest_with_a_used_device_is_refused() {
    let _ = host();
    let script = "echo ready; sha256sum /dev/nvme0n1; while true; do sleep 1; done";
    let first = Domain::new("first")
        .hostdev(NVME, IOMMUFD, "")
        .script(script);
    let mut running = first.start(&["--stop-timeout", "1"]);
    let second = Domain::new("second").hostdev(NVME, IOMMUFD, "").run(&[]);

    assert_eq!(second.status.code(), Some(4), "{second}");
    assert!(
        second.stderr.contains("'first'") && second.stderr.contains(NVME),
        "{second}"
    );

    let again = first.run(&[]);
    assert!(again.stderr.contains("running already"), "{again}");

    // The first guest still has its disk, and reads it.
    running.wait_for(passthru_lab::devices::NVME_SHA256);
    assert_eq!(driver(NVME).as_deref(), Some("vfio-pci"));

    running.signal(running.manager(), "-TERM");
    assert_eq!(running.wait(), Some(0));

    assert_all_back("first", &[(NVME, "nvme")]);
}

#[test]
fn replaced_device_is_refused_until_accepted() {
    let _ = host();
    let domain = Domain::new("swapped").hostdev(NVME, IOMMUFD, "");
    let _ = domain.run(&[]).expect_success();
    let path = "/var/lib/passthru/guests/swapped.json";
    let record = fs::read_to_string(path).unwrap();

    assert!(record.contains("nvme_serial"), "{record}");

    let mut other: serde_json::Value = serde_json::from_str(&record).unwrap();
    other["devices"][0]["nvme_serial"] = "another-disk".into();
    fs::write(path, other.to_string()).unwrap();
    refused(&domain, 4, &[NVME, "another-disk", "--accept-new-device"]);
    let _ = domain
        .run(&["--dry-run", "--accept-new-device"])
        .expect_success();
    fs::write(path, "{").unwrap();
    refused(&domain, 4, &[path, "passthru forget swapped"]);
    let _ = run(Command::new("passthru").args(["forget", "swapped"])).expect_success();
    assert!(!Path::new(path).exists());
}
